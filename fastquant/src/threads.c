/* The pool of workers. Everything static here is guarded by `lock`, which is never held while a part runs. */
#if defined(__linux__)
#define _GNU_SOURCE  /* affinity */
#elif !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L  /* signal masks, which ISO C does not know */
#endif

#include <stddef.h>
#include <stdlib.h>

#include "spans.h"
#include "threads.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE work = CONDITION_VARIABLE_INIT, done = CONDITION_VARIABLE_INIT;
static void acquire(void) { AcquireSRWLockExclusive(&lock); }
static void release(void) { ReleaseSRWLockExclusive(&lock); }
static void wait_for(CONDITION_VARIABLE *c) { SleepConditionVariableSRW(c, &lock, INFINITE, 0); }
static void wake_one(CONDITION_VARIABLE *c) { WakeConditionVariable(c); }
static void wake_all(CONDITION_VARIABLE *c) { WakeAllConditionVariable(c); }
#else
#include <pthread.h>
#include <signal.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static void acquire(void) { pthread_mutex_lock(&lock); }
static void release(void) { pthread_mutex_unlock(&lock); }
static void wait_for(pthread_cond_t *c) { pthread_cond_wait(c, &lock); }
static void wake_one(pthread_cond_t *c) { pthread_cond_signal(c); }
static void wake_all(pthread_cond_t *c) { pthread_cond_broadcast(c); }
#endif

/* Where a thread may run. */
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct { int known; cpu_set_t set; } cpus;

static cpus own_cpus(void)
{
    cpus own = {0};
    own.known = sched_getaffinity(0, sizeof own.set, &own.set) == 0;
    return own;
}
#else
typedef int cpus;
static cpus own_cpus(void) { return 0; }
#endif

typedef struct job {
    fq_part run;
    void *context;
    int next, end;        /* parts that nobody has taken: next ... end - 1 */
    int unfinished;
    cpus caller;
    struct job *later;
} job;

static int limit = 1;     /* threads at work */
static int at_work;       /* callers in fq_parallel, and workers with a part */
static int workers, busy; /* all of them, and those with a part */
static int may_start = 1; /* until the system refuses a thread */
static job *jobs;         /* with parts to take, the oldest first */

#define ROOMS_KEPT 8
static void *rooms[ROOMS_KEPT];
static int rooms_kept;

/* ---- where workers run ---- */

/* On the CPUs of the caller whose part they take. Threads begin with the CPUs of whoever starts them: one caller bound to
 * a CPU, at work first, would bind all workers to that one for all callers to come.
 *
 * A thread that is woken may be put on the CPU that wakes it, and wait there until that one has done all the work: so
 * Linux does in virtual machines, where an idle CPU looks like one that is not to be had. Workers that fell asleep where
 * the caller is now are therefore kept off it, and on the other CPUs that the caller may use. */
#if defined(__linux__)
typedef struct worker {
    pid_t thread;
    int cpu;              /* where it fell asleep */
    cpus on;              /* where it might run then */
    struct worker *next;
} worker;

static worker *asleep;

static worker this_thread(void) { return (worker){.thread = (pid_t)syscall(SYS_gettid)}; }

/* Asks the system each time, since others may bind threads too: some 0.1 us, for parts of 10 us and more. */
static void follow(const cpus *caller)
{
    const cpus own = own_cpus();
    cpu_set_t shared;
    if (!caller->known || !own.known)
        return;
    CPU_AND(&shared, &own.set, &caller->set);
    if (!CPU_EQUAL(&shared, &own.set))
        (void)sched_setaffinity(0, sizeof caller->set, &caller->set);
}

static void sleep_until_woken(worker *me)
{
    worker **at = &asleep;
    me->cpu = sched_getcpu();
    me->on = own_cpus();
    me->next = asleep;
    asleep = me;
    wait_for(&work);
    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
}

static void keep_off(const cpus *own)
{
    const int here = sched_getcpu();
    cpus others = *own;
    if (here < 0 || !own->known)
        return;
    CPU_CLR((size_t)here, &others.set);
    if (CPU_COUNT(&others.set) == 0)  /* they follow() when they take a part */
        return;
    for (worker *w = asleep; w != NULL; w = w->next)
        if ((w->cpu == here || !CPU_EQUAL(&w->on.set, &own->set)) && !CPU_EQUAL(&w->on.set, &others.set)
            && sched_setaffinity(w->thread, sizeof others.set, &others.set) == 0)
            w->on = others;
}

static void nobody_sleeps(void) { asleep = NULL; }
#else
typedef int worker;
static worker this_thread(void) { return 0; }
static void follow(const cpus *caller) { (void)caller; }
static void sleep_until_woken(worker *me) { (void)me, wait_for(&work); }
static void keep_off(const cpus *own) { (void)own; }
#if !defined(_WIN32)
static void nobody_sleeps(void) {}
#endif
#endif

/* ---- jobs ---- */

/* A part of a job, run without the lock. Callers take the first and workers the last: in call after call the same half of
 * an array then comes to the same thread, whose caches may still have it. */
static void run_one(job *j, int worker)
{
    const int part = worker ? --j->end : j->next++;
    if (j->next == j->end) {  /* nothing is left to take: off the list */
        job **at = &jobs;
        while (*at != j)
            at = &(*at)->later;
        *at = j->later;
    }
    release();
    if (worker)
        follow(&j->caller);
    j->run(j->context, part);
    acquire();
    if (--j->unfinished == 0)
        wake_all(&done);
}

static void serve(void)
{
    worker me = this_thread();
    acquire();
    for (;;) {
        while (jobs == NULL || at_work >= limit)
            sleep_until_woken(&me);
        at_work++;
        busy++;
        while (jobs != NULL && at_work <= limit)
            run_one(jobs, 1);
        busy--;
        at_work--;
    }
}

/* ---- starting workers ---- */

#if defined(_WIN32)
static DWORD WINAPI serve_forever(void *unused)
{
    (void)unused;
    serve();
    return 0;
}

static int start(void)
{
    HANDLE thread = CreateThread(NULL, 1 << 20, serve_forever, NULL, 0, NULL);
    if (thread == NULL)
        return 0;
    CloseHandle(thread);
    return 1;
}

static void prepare_for_forks(void) {}
#else
static void *serve_forever(void *unused)
{
    (void)unused;
    serve();
    return NULL;
}

/* Signals are for the threads that Python knows, but for those that a thread makes itself: handlers of crashes want to see
 * them. A stack of 1 MiB, since not every system gives as much. */
static int start(void)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int failed;
    if (pthread_attr_init(&attributes) != 0)
        return 0;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &attributes, serve_forever, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !failed;
}

/* The child has the forking thread alone, which runs no part: jobs and workers are those of threads that are gone. */
static void after_fork(void)
{
    workers = busy = at_work = 0;
    may_start = 1;
    jobs = NULL;
    nobody_sleeps();
    pthread_cond_init(&work, NULL);
    pthread_cond_init(&done, NULL);
    release();
}

static void prepare_for_forks(void)
{
    static int prepared;
    if (!prepared)
        prepared = pthread_atfork(acquire, release, after_fork) == 0;
}
#endif

/* As many as may help now, and as there is work for, awake or new. */
static void call_for_help(const cpus *own, int parts)
{
    int wanted = limit - at_work;
    wanted = wanted < parts - 1 ? wanted : parts - 1;
    while (may_start && workers - busy < wanted) {
        may_start = start();
        workers += may_start;
    }
    if (wanted > 0)
        keep_off(own);
    for (int i = 0; i < wanted; i++)
        wake_one(&work);
}

void fq_parallel(fq_part run, void *context, int parts)
{
    job j = {run, context, 0, parts, parts, own_cpus(), NULL};
    job **last = &jobs;
    if (parts <= 0)
        return;
    acquire();
    at_work++;
    while (*last != NULL)
        last = &(*last)->later;
    *last = &j;
    call_for_help(&j.caller, parts);
    while (j.next < j.end)
        run_one(&j, 0);
    while (j.unfinished > 0)
        wait_for(&done);
    at_work--;
    if (jobs != NULL)  /* of others, who began when all were at work */
        wake_one(&work);
    release();
}

void fq_set_threads(int n)
{
    acquire();
    prepare_for_forks();
    limit = n;
    may_start = 1;
    wake_all(&work);
    release();
}

int fq_threads(void)
{
    int n;
    acquire();
    n = limit;
    release();
    return n;
}

/* ---- rooms ---- */

void *fq_borrow_room(void)
{
    void *room = NULL;
    acquire();
    if (rooms_kept > 0)
        room = rooms[--rooms_kept];
    release();
    return room != NULL ? room : malloc(FQ_ROOM_BYTES);
}

void fq_give_back_room(void *room)
{
    acquire();
    if (room != NULL && rooms_kept < ROOMS_KEPT) {
        rooms[rooms_kept++] = room;
        room = NULL;
    }
    release();
    free(room);
}
