/* Gives frames to a running vehicle of AegisRT, through memory that both processes have. C11 or C++ with GCC's or Clang's atomics,
 * Linux, this header alone.
 *
 *     aegis_input input;
 *     int error = aegis_input_open(&input, "/run/rover/camera");       // 0, or an errno: ECONNREFUSED, EBUSY, EAGAIN, EPROTO, ...
 *     for (;;) {
 *         uint8_t *frame = aegis_input_begin(&input);                  // input.bytes bytes, the caller's until it publishes
 *         uint64_t seen = read_camera(frame);                          // nanoseconds of CLOCK_MONOTONIC; 0: now
 *         aegis_input_publish(&input, seen);
 *     }
 *     aegis_input_close(&input);
 *
 * The newest frame counts: one that was published and not yet read is replaced. Neither side ever waits for the other. A frame that is
 * not published, because this process ends, is never seen; the next process goes on with aegis_input_open. One process, and in it one
 * thread, sends at a time: another one is told EBUSY. When the vehicle ends the memory stays valid here, and nobody reads it:
 * aegis_input_is_open tells.
 */
#ifndef AEGIS_INPUT_H
#define AEGIS_INPUT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define AEGIS_INPUT_MAGIC 0x4e494741u
#define AEGIS_INPUT_VERSION 1u
#define AEGIS_INPUT_FRESH 4u
#define AEGIS_INPUT_MIDDLE 64u /* Where the two words and the slots lie, in bytes. */
#define AEGIS_INPUT_FRONT 128u
#define AEGIS_INPUT_FIRST_SLOT 192u
#define AEGIS_INPUT_SLOT_HEADER 64u

typedef struct aegis_input {
    int connection;
    unsigned char *memory;
    size_t length;
    uint32_t bytes;  /* Of a frame. */
    uint32_t stride; /* From one slot to the next. */
    uint32_t slot;   /* The one that is written. */
    uint64_t number; /* Of the last frame that was published. */
} aegis_input;

/* The slot that is nobody else's: neither the reader's nor the one between. 0, or EAGAIN while the reader is between two steps. */
static inline int aegis_input_join(aegis_input *input) {
    uint32_t middle = __atomic_load_n((uint32_t *)(void *)(input->memory + AEGIS_INPUT_MIDDLE), __ATOMIC_ACQUIRE) & ~AEGIS_INPUT_FRESH;
    uint32_t front = __atomic_load_n((uint32_t *)(void *)(input->memory + AEGIS_INPUT_FRONT), __ATOMIC_ACQUIRE);
    if (middle > 2 || front > 2 || middle == front) return EAGAIN;
    input->slot = 3 - middle - front;
    return 0;
}

/* Takes the memory that the answer brings. */
static inline int aegis_input_receive(aegis_input *input, int *memory) {
    char answer = 0;
    struct iovec part = {&answer, 1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } beside;
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = beside.bytes;
    message.msg_controllen = sizeof beside.bytes;
    ssize_t got;
    do got = recvmsg(input->connection, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return errno;
    if (got == 0) return ECONNRESET;
    if (answer == 'B') return EBUSY;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (answer != 'G' || !header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return EPROTO;
    memcpy(memory, CMSG_DATA(header), sizeof(int));
    return 0;
}

static inline int aegis_input_map(aegis_input *input, int memory) {
    struct stat found;
    if (fstat(memory, &found) != 0) return errno;
    if (found.st_size < (off_t)AEGIS_INPUT_FIRST_SLOT) return EPROTO;
    input->length = (size_t)found.st_size;
    void *mapped = mmap(NULL, input->length, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (mapped == MAP_FAILED) return errno;
    input->memory = (unsigned char *)mapped;
    uint32_t head[4];
    memcpy(head, input->memory, sizeof head);
    input->bytes = head[2];
    input->stride = head[3];
    uint64_t end = AEGIS_INPUT_FIRST_SLOT + 3 * (uint64_t)input->stride;
    if (head[0] != AEGIS_INPUT_MAGIC || head[1] != AEGIS_INPUT_VERSION || end > input->length ||
        (uint64_t)input->bytes + AEGIS_INPUT_SLOT_HEADER > input->stride)
        return EPROTO;
    for (int look = 0; look < 1000; look++) {
        if (aegis_input_join(input) == 0) return 0;
        struct timespec millisecond = {0, 1000000};
        nanosleep(&millisecond, NULL);
    }
    return EAGAIN;
}

/* Lets go of everything. */
static inline void aegis_input_close(aegis_input *input) {
    if (input->memory) munmap(input->memory, input->length);
    if (input->connection >= 0) close(input->connection);
    input->memory = NULL;
    input->connection = -1;
}

/* Asks the vehicle that waits at this path for its memory. 0, or why not. */
static inline int aegis_input_open(aegis_input *input, const char *path) {
    struct sockaddr_un address;
    memset(input, 0, sizeof *input);
    memset(&address, 0, sizeof address);
    input->connection = -1;
    if (strlen(path) >= sizeof address.sun_path) return ENAMETOOLONG;
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, path);
    input->connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (input->connection < 0) return errno;
    int memory = -1;
    int error = 0;
    if (connect(input->connection, (struct sockaddr *)&address, sizeof address) != 0) error = errno;
    if (!error) error = aegis_input_receive(input, &memory);
    if (!error) error = aegis_input_map(input, memory);
    if (memory >= 0) close(memory);
    if (error) aegis_input_close(input);
    return error;
}

/* Where the next frame is written: input->bytes bytes. */
static inline void *aegis_input_begin(aegis_input *input) {
    return input->memory + AEGIS_INPUT_FIRST_SLOT + (size_t)input->slot * input->stride + AEGIS_INPUT_SLOT_HEADER;
}

/* What was written is the newest frame. `seen_ns`: when it was seen, in nanoseconds of CLOCK_MONOTONIC; 0: now. The answer is 0, or EPROTO
 * where the memory has been spoilt: close, and open again. */
static inline int aegis_input_publish(aegis_input *input, uint64_t seen_ns) {
    if (seen_ns == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seen_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    uint64_t head[2] = {++input->number, seen_ns};
    memcpy((unsigned char *)aegis_input_begin(input) - AEGIS_INPUT_SLOT_HEADER, head, sizeof head);
    uint32_t *middle = (uint32_t *)(void *)(input->memory + AEGIS_INPUT_MIDDLE);
    input->slot = __atomic_exchange_n(middle, input->slot | AEGIS_INPUT_FRESH, __ATOMIC_ACQ_REL) & ~AEGIS_INPUT_FRESH;
    if (input->slot <= 2) return 0;
    input->slot = 0;
    return EPROTO;
}

/* Whether the vehicle is still there. */
static inline int aegis_input_is_open(const aegis_input *input) {
    char byte;
    ssize_t got = recv(input->connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

#endif
