/* A tool for NVTX that counts ranges and marks of each category, and writes what it counted when the process ends.
 *
 * NVTX loads the library that NVTX_INJECTION64_PATH names and calls InitializeInjectionNvtx2 with a function that gives tables of
 * pointers, which the library sets to its own functions (NVTX 3, nvtx3/nvtxDetail/nvtxTypes.h). Lines of the file that NVTX_COUNTS
 * names: domain, kind, category, message of the last, count. The last line tells how many ranges were still open.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLBACKS = 1, CORE2 = 5 };
enum { MARK = 1, PUSH = 4, POP = 5, CATEGORY_A = 8, CATEGORY_W = 9, STRING_A = 10, STRING_W = 11, DOMAIN_A = 12, DOMAIN_W = 13 };
enum { MOST = 64, LENGTH = 64 };

struct attributes {
    uint16_t version, size;
    uint32_t category;
    int32_t color_type;
    uint32_t color;
    int32_t payload_type, reserved;
    uint64_t payload;
    int32_t message_type;
    const char *message;
};

struct callbacks {
    size_t size;
    int (*table)(int module, void ***functions, unsigned *count);
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char domain[LENGTH], categories[MOST][LENGTH], strings[MOST][LENGTH], last[2][MOST][LENGTH];
static unsigned known;
static unsigned long counts[2][MOST], wrong;
static long depth;

static void narrow(char *to, const wchar_t *from) {
    size_t i = 0;
    for (; from[i] && i + 1 < LENGTH; i++) to[i] = (char)from[i];
    to[i] = 0;
}

static void *domain_a(const char *name) { snprintf(domain, LENGTH, "%s", name); return domain; }
static void *domain_w(const wchar_t *name) { narrow(domain, name); return domain; }
static void category_a(void *of, uint32_t id, const char *name) {
    if (of == domain && id < MOST) snprintf(categories[id], LENGTH, "%s", name); else wrong++;
}
static void category_w(void *of, uint32_t id, const wchar_t *name) {
    if (of == domain && id < MOST) narrow(categories[id], name); else wrong++;
}
static void *string_a(void *of, const char *text) {
    if (of != domain || known == MOST) { wrong++; return NULL; }
    snprintf(strings[known], LENGTH, "%s", text);
    return strings[known++];
}
static void *string_w(void *of, const wchar_t *text) {
    if (of != domain || known == MOST) { wrong++; return NULL; }
    narrow(strings[known], text);
    return strings[known++];
}

static void count(int kind, void *of, const struct attributes *told) {
    pthread_mutex_lock(&lock);
    /* Registered strings have type 3. */
    if (of != domain || told->category >= MOST || !categories[told->category][0] || told->message_type != 3) {
        wrong++;
    } else {
        counts[kind][told->category]++;
        memcpy(last[kind][told->category], told->message, LENGTH);
    }
    pthread_mutex_unlock(&lock);
}

static void mark(void *of, const struct attributes *told) { count(0, of, told); }
static int push(void *of, const struct attributes *told) {
    count(1, of, told);
    return (int)__atomic_fetch_add(&depth, 1, __ATOMIC_SEQ_CST);
}
static int pop(void *of) {
    if (of != domain) wrong++;
    return (int)__atomic_sub_fetch(&depth, 1, __ATOMIC_SEQ_CST);
}

static void tell(void) {
    const char *kinds[] = {"mark", "range"}, *path = getenv("NVTX_COUNTS");
    FILE *out = path ? fopen(path, "w") : NULL;
    if (!out) return;
    for (int kind = 0; kind < 2; kind++)
        for (int id = 0; id < MOST; id++)
            if (counts[kind][id])
                fprintf(out, "%s %s %s %s %lu\n", domain, kinds[kind], categories[id], last[kind][id], counts[kind][id]);
    fprintf(out, "%s wrong %lu open %ld\n", domain, wrong, depth);
    fclose(out);
}

static void set(void ***functions, unsigned entries, unsigned id, void *function) {
    if (id < entries && functions[id]) *functions[id] = function;
}

int InitializeInjectionNvtx2(const void *(*table)(uint32_t id)) {
    const struct callbacks *callbacks = table(CALLBACKS);
    void ***functions = NULL;
    unsigned entries = 0;
    if (!callbacks || !callbacks->table(CORE2, (void ***)&functions, &entries)) return 0;
    set(functions, entries, MARK, (void *)mark);
    set(functions, entries, PUSH, (void *)push);
    set(functions, entries, POP, (void *)pop);
    set(functions, entries, CATEGORY_A, (void *)category_a);
    set(functions, entries, CATEGORY_W, (void *)category_w);
    set(functions, entries, STRING_A, (void *)string_a);
    set(functions, entries, STRING_W, (void *)string_w);
    set(functions, entries, DOMAIN_A, (void *)domain_a);
    set(functions, entries, DOMAIN_W, (void *)domain_w);
    atexit(tell);
    return 1;
}
