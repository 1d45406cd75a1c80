/* Sends frames as the tests ask: producer PATH count N | die N | spoil MILLISECONDS | punch MILLISECONDS | cut | hold | layout. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "aegis_input.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A frame that shows where it is not whole: its number in every word. */
static void fill(aegis_input *input, uint64_t number, size_t words) {
    uint32_t *frame = (uint32_t *)aegis_input_begin(input);
    for (size_t at = 0; at < words; at++) frame[at] = (uint32_t)number;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The bare memory, or -1. */
static int handed(const char *path) {
    static aegis_input input;
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    input.connection = socket(AF_UNIX, SOCK_STREAM, 0);
    int memory = -1;
    if (connect(input.connection, (struct sockaddr *)&address, sizeof address) != 0) return -1;
    return aegis_input_receive(&input, &memory) ? -1 : memory;
}

/* Tries to make the memory shorter; the answer is 0 where the system forbids it. */
static int cut(const char *path) {
    int memory = handed(path);
    if (memory < 0) return 2;
    return ftruncate(memory, 0) != 0 && errno == EPERM ? 0 : 1;
}

/* Takes the pages away again and again, which the system allows to whoever may write. */
static int punch(const char *path, uint64_t milliseconds) {
    struct stat found;
    int memory = handed(path);
    if (memory < 0 || fstat(memory, &found) != 0) return 2;
    uint64_t until = now() + milliseconds * 1000000u;
    while (now() < until) {
        if (fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, found.st_size) != 0) return 1;
    }
    return 0;
}

int main(int count, char **arguments) {
    if (count < 3) return 64;
    const char *what = arguments[2];
    if (strcmp(what, "layout") == 0) {
        printf("%u %u %u %u %u %u\n", AEGIS_INPUT_MAGIC, AEGIS_INPUT_VERSION, AEGIS_INPUT_MIDDLE, AEGIS_INPUT_FRONT, AEGIS_INPUT_FIRST_SLOT,
               AEGIS_INPUT_SLOT_HEADER);
        return 0;
    }
    aegis_input input;
    if (strcmp(what, "cut") == 0) return cut(arguments[1]);
    if (strcmp(what, "punch") == 0) return punch(arguments[1], count > 3 ? strtoull(arguments[3], NULL, 10) : 0);
    int error = aegis_input_open(&input, arguments[1]);
    if (error) {
        fprintf(stderr, "%s\n", strerror(error));
        return 2;
    }
    uint64_t amount = count > 3 ? strtoull(arguments[3], NULL, 10) : 0;
    size_t words = input.bytes / 4;
    if (strcmp(what, "hold") == 0) {
        printf("here\n");
        fflush(stdout);
        while (getchar() != EOF) {
        }
        printf("%s\n", aegis_input_is_open(&input) ? "open" : "closed");
    } else if (strcmp(what, "count") == 0) {
        for (uint64_t number = 1; number <= amount; number++) {
            fill(&input, number, words);
            if (aegis_input_publish(&input, 0)) return 3;
            /* A reader on the same processor gets a turn now and then. */
            struct timespec pause = {0, 20000};
            if (number % 4 == 0) nanosleep(&pause, NULL);
        }
    } else if (strcmp(what, "die") == 0) {
        for (uint64_t number = 1; number <= amount; number++) {
            fill(&input, number, words);
            if (aegis_input_publish(&input, 0)) return 3;
        }
        fill(&input, 0xffffffffu, words / 2);
        raise(SIGKILL);
    } else if (strcmp(what, "spoil") == 0) {
        /* Nothing can be taken away from under the vehicle, but all that is there can be written over. */
        uint64_t until = now() + amount * 1000000u;
        uint32_t state = 1;
        while (now() < until) {
            for (size_t at = 0; at < input.length / 4; at++) {
                state = state * 1664525u + 1013904223u;
                ((volatile uint32_t *)(void *)input.memory)[at] = at % 16 == 0 ? state >> 29 : state;
            }
        }
    } else {
        return 64;
    }
    aegis_input_close(&input);
    return 0;
}
