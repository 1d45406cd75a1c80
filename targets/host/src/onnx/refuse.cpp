// ONNX Runtime ends the process where an allocator returns null, and answers std::bad_alloc with an error status. So the
// callbacks that it calls are here, and the exception never passes through a Rust frame.
#include <atomic>
#include <cstddef>
#include <new>

namespace {
using Take = void* (*)(std::size_t) noexcept;
std::atomic<Take> take_block{nullptr};
std::atomic<Take> take_device_block{nullptr};

void* take_or_throw(const std::atomic<Take>& from, std::size_t size) {
    const Take take = from.load(std::memory_order_acquire);
    void* const block = take == nullptr ? nullptr : take(size);
    if (block == nullptr) throw std::bad_alloc();
    return block;
}
}  // namespace

extern "C" void aegis_serve_with(Take take, Take take_on_device) {
    take_block.store(take, std::memory_order_release);
    take_device_block.store(take_on_device, std::memory_order_release);
}

extern "C" void* aegis_allocate(void*, std::size_t size) { return take_or_throw(take_block, size); }

extern "C" void* aegis_reserve(const void*, std::size_t size) { return take_or_throw(take_block, size); }

extern "C" void* aegis_allocate_on_device(void*, std::size_t size) { return take_or_throw(take_device_block, size); }

extern "C" void* aegis_reserve_on_device(const void*, std::size_t size) { return take_or_throw(take_device_block, size); }
