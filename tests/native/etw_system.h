/* What the double needs of the system: a lock, a condition, threads, a clock, creating a file. */

#ifndef ETW_SYSTEM_H
#define ETW_SYSTEM_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef void (*thread_body)(void *argument);

typedef struct {
    thread_body body;
    void *argument;
} thread_start;

#ifdef _WIN32

#define WIN32_LEAN_AND_MEAN
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00 /* Windows 10 */
#include <windows.h>

#define WINDOWS_CALL __stdcall
#define EXPORT __declspec(dllexport)

typedef HANDLE system_thread;

static SRWLOCK the_lock = SRWLOCK_INIT;
static CONDITION_VARIABLE the_condition = CONDITION_VARIABLE_INIT;

static void lock(void) { AcquireSRWLockExclusive(&the_lock); }
static void unlock(void) { ReleaseSRWLockExclusive(&the_lock); }
static void wait_for_change(void) { SleepConditionVariableSRW(&the_condition, &the_lock, INFINITE, 0); }
static void changed(void) { WakeAllConditionVariable(&the_condition); }
static uint32_t thread_id(void) { return GetCurrentThreadId(); }
static uint32_t process_id(void) { return GetCurrentProcessId(); }
static void sleep_us(uint32_t us) { us ? Sleep((us + 999) / 1000) : (void)SwitchToThread(); }
static void set_last_error(uint32_t code) { SetLastError(code); }
static uint32_t last_error(void) { return GetLastError(); }

static int64_t now_filetime(void) {
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    return (int64_t)((uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime);
}

static DWORD WINAPI run_thread(LPVOID given) {
    thread_start start = *(thread_start *)given;
    free(given);
    start.body(start.argument);
    return 0;
}

static system_thread start_thread(thread_body body, void *argument) {
    thread_start *start = malloc(sizeof *start);
    *start = (thread_start){body, argument};
    return CreateThread(NULL, 0, run_thread, start, 0, NULL);
}

static void join_thread(system_thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

/* Runs when the program calls exit(), with other threads alive: a DLL's own atexit comes when they are not. Which
   of the C libraries the program is built with is unknown. */
static void at_exit(void(__cdecl *body)(void)) {
    static const char *const places[][2] = {{"ucrtbase.dll", "_crt_atexit"}, {"msvcrt.dll", "_onexit"}};
    for (int index = 0; index < 2; index++) {
        HMODULE library = GetModuleHandleA(places[index][0]);
        FARPROC found = library ? GetProcAddress(library, places[index][1]) : NULL;
        if (found) ((void *(__cdecl *)(void(__cdecl *)(void)))(void (*)(void))found)(body);
    }
}

/* Windows' code, 0 where there is a file now. */
static uint32_t create_file(const uint16_t *path, int keep) {
    DWORD how = keep ? OPEN_ALWAYS : CREATE_ALWAYS;
    HANDLE file = CreateFileW((const wchar_t *)path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, how,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) return GetLastError();
    CloseHandle(file);
    return 0;
}

#else

#include <pthread.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#define WINDOWS_CALL
#define EXPORT __attribute__((visibility("default")))

typedef pthread_t system_thread;

static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t the_condition = PTHREAD_COND_INITIALIZER;
static _Thread_local uint32_t the_last_error;

static void lock(void) { pthread_mutex_lock(&the_lock); }
static void unlock(void) { pthread_mutex_unlock(&the_lock); }
static void wait_for_change(void) { pthread_cond_wait(&the_condition, &the_lock); }
static void changed(void) { pthread_cond_broadcast(&the_condition); }
static uint32_t process_id(void) { return (uint32_t)getpid(); }
static void set_last_error(uint32_t code) { the_last_error = code; }
static uint32_t last_error(void) { return the_last_error; }

/* As Python's threading.get_native_id. */
static uint32_t thread_id(void) {
#ifdef __linux__
    return (uint32_t)syscall(SYS_gettid);
#else
    uint64_t id = 0;
    pthread_threadid_np(NULL, &id);
    return (uint32_t)id;
#endif
}

static void sleep_us(uint32_t us) {
    struct timespec time = {us / 1000000, (long)(us % 1000000) * 1000};
    nanosleep(&time, NULL);
}

static int64_t now_filetime(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((int64_t)now.tv_sec + 11644473600) * 10000000 + now.tv_nsec / 100;
}

static void *run_thread(void *given) {
    thread_start start = *(thread_start *)given;
    free(given);
    start.body(start.argument);
    return NULL;
}

static system_thread start_thread(thread_body body, void *argument) {
    thread_start *start = malloc(sizeof *start);
    *start = (thread_start){body, argument};
    pthread_t thread;
    pthread_create(&thread, NULL, run_thread, start);
    return thread;
}

static void join_thread(system_thread thread) { pthread_join(thread, NULL); }

static void at_exit(void (*body)(void)) { atexit(body); }

static char *utf8(const uint16_t *text) {
    size_t units = 0;
    while (text[units]) units++;
    char *made = malloc(3 * units + 1), *to = made;
    while (*text) {
        uint32_t c = *text++;
        if (c >> 10 == 0x36 && *text >> 10 == 0x37) c = 0x10000 + ((c & 0x3FF) << 10) + (*text++ & 0x3FF);
        if (c < 0x80) {
            *to++ = (char)c;
            continue;
        }
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        *to++ = (char)((more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0) | c >> 6 * more);
        while (more--) *to++ = (char)(0x80 | (c >> 6 * more & 0x3F));
    }
    *to = 0;
    return made;
}

/* Windows' code, 0 where there is a file now. */
static uint32_t create_file(const uint16_t *path, int keep) {
    char *name = utf8(path);
    FILE *file = fopen(name, keep ? "ab" : "wb");
    int problem = errno;
    free(name);
    if (file == NULL) return problem == ENOENT || problem == ENOTDIR ? 3 : problem == EACCES ? 5 : 123;
    fclose(file);
    return 0;
}

#endif

#endif
