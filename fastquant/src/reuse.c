/* Memory of large results. Each piece is a mapping of its own: a page for its length, then the data, which begin where a
 * huge page can, since those take a quarter of the time to make. */
#if !defined(_WIN32)
#define _DEFAULT_SOURCE  /* madvise, which ISO C does not know */
#endif

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reuse.h"

#if FQ_REUSES
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* Under AddressSanitizer what is kept is not to be touched, like what has been freed. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define HIDE(data, bytes) ASAN_POISON_MEMORY_REGION(data, bytes)
#define SHOW(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#else
#define HIDE(data, bytes) ((void)(data), (void)(bytes))
#define SHOW(data, bytes) ((void)(data), (void)(bytes))
#endif

#define HUGE_PAGE ((size_t)2 << 20)
#define BEFORE ((size_t)1 << 16)  /* what lies before the data: a page, whatever size pages have */
#define SLOTS 4

typedef struct { char *data; size_t bytes; } piece;

/* What is kept, the oldest first. A thread that finds the list in use does without it, so that no call waits. `in_use`
 * orders what is written to the list; the two limits are looked at alone, and order nothing. */
static atomic_flag in_use = ATOMIC_FLAG_INIT;
static piece kept[SLOTS];
static int pieces;
static _Atomic size_t most, least;

static int enter(void) { return !atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire); }
static void leave(void) { atomic_flag_clear_explicit(&in_use, memory_order_release); }

/* A fork does wait: the child of one that happened while another thread had the list would never have it. Python's lock
 * is held by both, and so they cannot meet; but not every Python has one, and not every fork is Python's. Nobody waits
 * for anything with the list in hand. */
static void before_fork(void)
{
    while (!enter())
        sched_yield();
}

static void prepare_for_forks(void)
{
    static atomic_flag prepared = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&prepared) && pthread_atfork(before_fork, leave, leave) != 0)
        atomic_flag_clear(&prepared);
}

static size_t *length_of(void *data) { return (size_t *)(void *)((char *)data - BEFORE); }

static void unmap(char *data, size_t bytes)
{
    SHOW(data, bytes);
    munmap(data - BEFORE, BEFORE + bytes);
}

static size_t total(void)
{
    size_t sum = 0;
    for (int i = 0; i < pieces; i++)
        sum += kept[i].bytes;
    return sum;
}

/* Takes piece i off the list. */
static piece taken(int i)
{
    const piece p = kept[i];
    memmove(&kept[i], &kept[i + 1], (size_t)(--pieces - i) * sizeof(piece));
    return p;
}

/* The smallest piece that is large enough, and not more than twice so: else a small result would hold a large one's
 * memory. */
static void *reused(size_t bytes)
{
    int best = -1;
    if (!enter())
        return NULL;
    for (int i = 0; i < pieces; i++)
        if (kept[i].bytes >= bytes && kept[i].bytes / 2 <= bytes && (best < 0 || kept[i].bytes < kept[best].bytes))
            best = i;
    const piece p = best < 0 ? (piece){NULL, 0} : taken(best);
    leave();
    SHOW(p.data, p.bytes);
    return p.data;
}

/* Frees what is kept beyond so many bytes and pieces, the oldest first. */
static void forget(size_t bytes, int count)
{
    piece old[SLOTS];
    int n = 0;
    if (!enter())
        return;
    while (pieces > 0 && (pieces > count || total() > bytes))
        old[n++] = taken(0);
    leave();
    while (n-- > 0)
        unmap(old[n].data, old[n].bytes);
}

static char *pages(size_t bytes)
{
    char *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

static void *map(size_t bytes)
{
    const size_t spare = BEFORE + HUGE_PAGE;
    char *start;
    if (bytes > SIZE_MAX - spare - BEFORE)
        return NULL;
    bytes = (bytes + BEFORE - 1) / BEFORE * BEFORE;
    start = pages(spare + bytes);
    if (start == NULL) {  /* what is kept counts where address space is limited */
        forget(0, 0);
        start = pages(spare + bytes);
    }
    if (start == NULL)
        return NULL;
    char *data = (char *)(((uintptr_t)start + spare) / HUGE_PAGE * HUGE_PAGE);
    if (data - BEFORE > start)
        munmap(start, (size_t)(data - BEFORE - start));
    if (start + spare > data)
        munmap(data + bytes, (size_t)(start + spare - data));
#if defined(MADV_HUGEPAGE)
    (void)madvise(data, bytes, MADV_HUGEPAGE);  /* a wish */
#endif
    *length_of(data) = bytes;
    return data;
}

int fq_keeps(size_t bytes) { return bytes >= least && bytes <= most; }

static int keep(char *data, size_t bytes)
{
    size_t limit = most;
    if (!fq_keeps(bytes))
        return 0;
    if (madvise(data, bytes, MADV_FREE) != 0) {  /* a kernel that has no such mark */
        most = 0;
        return 0;
    }
    forget(limit - bytes, SLOTS - 1);
    if (!enter())
        return 0;
    limit = most;
    const int room = pieces < SLOTS && bytes <= limit && total() <= limit - bytes;
    if (room) {
        HIDE(data, bytes);
        kept[pieces].data = data;
        kept[pieces++].bytes = bytes;
    }
    leave();
    return room;
}

void *fq_reuse_malloc(void *context, size_t bytes)
{
    (void)context;
    void *data = reused(bytes);
    return data != NULL ? data : map(bytes);
}

void fq_reuse_free(void *context, void *data, size_t bytes)
{
    (void)context, (void)bytes;  /* of the array, which may be smaller */
    if (data != NULL && !keep(data, *length_of(data)))
        unmap(data, *length_of(data));
}

void *fq_reuse_calloc(void *context, size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / size)
        return NULL;
    void *data = fq_reuse_malloc(context, count * size);
    return data == NULL ? NULL : memset(data, 0, count * size);
}

void *fq_reuse_realloc(void *context, void *data, size_t bytes)
{
    if (data == NULL)
        return fq_reuse_malloc(context, bytes);
    const size_t before = *length_of(data);
    if (bytes <= before && bytes >= before / 2)
        return data;
    void *other = fq_reuse_malloc(context, bytes);
    if (other != NULL) {
        memcpy(other, data, bytes < before ? bytes : before);
        fq_reuse_free(context, data, before);
    }
    return other;
}

void fq_keep(size_t bytes, size_t smallest)
{
    prepare_for_forks();
    most = bytes;
    least = smallest;
    forget(bytes, SLOTS);
}

size_t fq_kept(void)
{
    size_t sum = 0;
    if (enter()) {
        sum = total();
        leave();
    }
    return sum;
}

#else  /* malloc's, so that one handler serves everywhere */

void *fq_reuse_malloc(void *context, size_t bytes) { return (void)context, malloc(bytes); }
void *fq_reuse_calloc(void *context, size_t count, size_t size) { return (void)context, calloc(count, size); }
void *fq_reuse_realloc(void *context, void *data, size_t bytes) { return (void)context, realloc(data, bytes); }
void fq_reuse_free(void *context, void *data, size_t bytes) { (void)context, (void)bytes, free(data); }
void fq_keep(size_t bytes, size_t smallest) { (void)bytes, (void)smallest; }
size_t fq_kept(void) { return 0; }
int fq_keeps(size_t bytes) { return (void)bytes, 0; }

#endif
