// ONNX Runtime ends the process where an allocator returns null, and answers std::bad_alloc with an error status. So the
// callbacks that it calls are here, and the exception never passes through a Rust frame.
#include <atomic>
#include <cstddef>
#include <new>

namespace {
using Take = void* (*)(std::size_t) noexcept;
std::atomic<Take> take_block{nullptr};

void* take_or_throw(std::size_t size) {
    const Take take = take_block.load(std::memory_order_acquire);
    void* const block = take == nullptr ? nullptr : take(size);
    if (block == nullptr) throw std::bad_alloc();
    return block;
}
}  // namespace

extern "C" void aegis_serve_with(Take take) { take_block.store(take, std::memory_order_release); }

extern "C" void* aegis_allocate(void*, std::size_t size) { return take_or_throw(size); }

extern "C" void* aegis_reserve(const void*, std::size_t size) { return take_or_throw(size); }
