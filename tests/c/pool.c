/* What threads of a process share, driven from C by many of them at once: the pool (threads.c) and the memory of results
 * (reuse.c). Made for ThreadSanitizer, which sees all of it here, and for forks that Python's lock does not hold back.
 *
 *     pool calls N     N rounds of each kind of thread, all at once
 *     pool forks N     N forks meanwhile; each child makes calls of its own, and keeps memory
 *     pool start N     N processes that fork while their pool starts
 *     pool bound N     N calls of each of two callers that may use one CPU, each another, where that can be told
 *
 * Exit status 0, and nothing printed, if everything is as it should be. */
#define _GNU_SOURCE

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reuse.h"
#include "threads.h"

#define EXPECT(truth) ((truth) ? (void)0 : wrong(#truth, __LINE__))
#define PARTS 64
#define BYTES ((size_t)1 << 16)
#define MOST (BYTES * 8)

static atomic_int stop, borrowers;
static int bound_calls;

static void wrong(const char *what, int line)
{
    fprintf(stderr, "line %d: not %s\n", line, what);
    _exit(1);
}

/* Each part writes its own place without any care: that it was run once, and can be read afterwards, is the pool's. */
typedef struct { int runs[PARTS]; long sum[PARTS]; const int *from; } sheet;

static void part(void *context, int i)
{
    sheet *s = context;
    s->runs[i]++;
    for (int k = 0; k < 500; k++)
        s->sum[i] += s->from[k] + i;
}

static void one_call(void)
{
    int from[500];
    sheet s;
    memset(&s, 0, sizeof s);
    for (int k = 0; k < 500; k++)
        from[k] = k;
    s.from = from;
    fq_parallel(part, &s, PARTS);
    for (int i = 0; i < PARTS; i++) {
        EXPECT(s.runs[i] == 1);
        EXPECT(s.sum[i] == 500 * 499 / 2 + 500L * i);
    }
    EXPECT(fq_threads() >= 1 && fq_threads() <= 8);
    fq_parallel(part, &s, 0);
    fq_parallel(part, &s, 1);
    EXPECT(s.runs[0] == 2 && s.runs[1] == 1);
}

static void one_room(int mine)
{
    int *rooms[3];
    for (int i = 0; i < 3; i++) {
        rooms[i] = fq_borrow_room();
        EXPECT(rooms[i] != NULL);
        rooms[i][0] = rooms[i][1000] = mine + i;
    }
    for (int i = 0; i < 3; i++) {
        EXPECT(rooms[i][0] == mine + i && rooms[i][1000] == mine + i);
        fq_give_back_room(rooms[i]);
    }
}

static void one_result(int mine)
{
    int *data[2];
    const size_t n = BYTES * (size_t)(1 + mine % 3);
    for (int i = 0; i < 2; i++) {
        data[i] = fq_reuse_malloc(NULL, n);
        EXPECT(data[i] != NULL);
        data[i][0] = data[i][n / sizeof(int) - 1] = mine + i;
    }
    for (int i = 0; i < 2; i++) {
        EXPECT(data[i][0] == mine + i && data[i][n / sizeof(int) - 1] == mine + i);
        fq_reuse_free(NULL, data[i], n);
    }
    EXPECT(fq_kept() <= MOST);
}

static void *caller(void *rounds)
{
    for (int i = 0; i < *(int *)rounds && !stop; i++)
        one_call();
    return NULL;
}

static void *borrower(void *rounds)
{
    const int mine = atomic_fetch_add(&borrowers, 1) * 1000000;
    for (int i = 0; i < *(int *)rounds && !stop; i++)
        one_room(mine + i);
    return NULL;
}

static void *maker(void *rounds)
{
    for (int i = 0; i < *(int *)rounds && !stop; i++)
        one_result(i);
    return NULL;
}

static void *changer(void *rounds)
{
    for (int i = 0; i < *(int *)rounds && !stop; i++) {
        fq_set_threads(1 + i % 8);
        fq_keep(MOST / (size_t)(1 + i % 2), BYTES);
    }
    return NULL;
}

static void *(*const kinds[])(void *) = {caller, maker, changer, caller, maker, borrower, borrower};
#define KINDS (sizeof kinds / sizeof *kinds)

static void begin(pthread_t *threads, int *rounds)
{
    for (size_t i = 0; i < KINDS; i++)
        EXPECT(pthread_create(&threads[i], NULL, kinds[i], rounds) == 0);
}

static void end(const pthread_t *threads)
{
    for (size_t i = 0; i < KINDS; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
}

/* Memory is kept, as before the fork: what is freed is there, and is what the next one gets. */
static void child(void)
{
    for (int i = 0; i < 3; i++)
        one_call();
    one_room(1);
    one_result(2);
    fq_set_threads(3);
    one_call();
    fq_keep(0, BYTES);
    EXPECT(fq_kept() == 0);
    fq_keep(MOST, BYTES);
    for (int i = 0; i < 3; i++) {
        void *data = fq_reuse_malloc(NULL, BYTES);
        EXPECT(fq_kept() == 0);
        fq_reuse_free(NULL, data, BYTES);
        EXPECT(!FQ_REUSES || fq_kept() >= BYTES);
    }
    _exit(0);
}

#if defined(__linux__)
static atomic_int elsewhere;

/* Long enough for workers to take some. */
static void part_on(void *context, int i)
{
    const int cpu = *(int *)context;
    volatile int k = i;
    while (k < 20000)
        k++;
    elsewhere += sched_getcpu() != cpu;
}

static void *bound_caller(void *context)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)*(int *)context, &one);
    EXPECT(sched_setaffinity(0, sizeof one, &one) == 0);
    for (int i = 0; i < bound_calls; i++)
        fq_parallel(part_on, context, PARTS);
    return NULL;
}

static void bound(void)
{
    pthread_t threads[2];
    cpu_set_t all;
    int cpu[2], found = 0;
    EXPECT(sched_getaffinity(0, sizeof all, &all) == 0);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET((size_t)i, &all))
            cpu[found++] = i;
    for (int i = 0; i < found; i++)
        EXPECT(pthread_create(&threads[i], NULL, bound_caller, &cpu[i]) == 0);
    for (int i = 0; i < found; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    EXPECT(elsewhere == 0);
}
#else
static void bound(void) {}
#endif

static void fork_one(void)
{
    int status = 0;
    const pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        child();
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *one_caller(void *unused)
{
    one_call();
    return unused;
}

int main(int argc, char **argv)
{
    const int n = argc == 3 ? atoi(argv[2]) : 0;
    int rounds = n;
    pthread_t threads[KINDS];
    EXPECT(n > 0);
    fq_keep(MOST, BYTES);
    fq_set_threads(4);
    if (strcmp(argv[1], "calls") == 0) {
        begin(threads, &rounds);
        end(threads);
    } else if (strcmp(argv[1], "forks") == 0) {
        rounds = 1 << 30;
        begin(threads, &rounds);
        for (int i = 0; i < n; i++)
            fork_one();
        stop = 1;
        end(threads);
    } else if (strcmp(argv[1], "bound") == 0) {
        bound_calls = n;
        bound();
    } else {
        EXPECT(strcmp(argv[1], "start") == 0);
        for (int i = 0; i < n; i++) {
            const pid_t pid = fork();
            int status = 0;
            EXPECT(pid >= 0);
            if (pid == 0) {  /* without any worker */
                EXPECT(pthread_create(&threads[0], NULL, one_caller, NULL) == 0);
                fork_one();
                EXPECT(pthread_join(threads[0], NULL) == 0);
                _exit(0);
            }
            EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
    }
    return 0;
}
