/*
 * The producer of Groundcrew's flight recorder.
 *
 * A ring is a file that the recorder makes; a process attaches to it and pushes records. Pushing
 * takes no lock, allocates nothing, makes no system call and never waits: a ring that is full
 * refuses, and the recording says exactly how many records were refused and when.
 *
 * A ring has one producer at a time, and a producer is used by one thread at a time. What was
 * pushed outlives the process, however it ends.
 */
#ifndef GROUNDCREW_RECORDER_H
#define GROUNDCREW_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest body, bytes. */
#define GC_BODY_MAX 1048576u
/* The first type number that belongs to users. */
#define GC_USER_TYPES 0x8000u

/* A producer. */
typedef struct GcRing GcRing;

/*
 * Attaches to the ring at `path`. NULL: it takes no producer, and `error`, unless it is NULL, says
 * why in at most `error_len` bytes with the zero behind it.
 */
GcRing *gc_ring_attach(const char *path, char *error, size_t error_len);

/*
 * Hands a record over: a body of `len` bytes of type `kind`, made at `time_ns`. Whether there was
 * room; a record that is refused has used up its number, and the recorder tells of it.
 */
bool gc_ring_push(GcRing *ring, uint16_t kind, uint64_t time_ns, const void *body, size_t len);

/* Records that were made, those that were refused among them. */
uint64_t gc_ring_made(const GcRing *ring);

/* Says that this producer ends, and frees it. NULL is ignored. */
void gc_ring_detach(GcRing *ring);

/* The time now, as records carry it: nanoseconds of CLOCK_BOOTTIME. */
uint64_t gc_time_ns(void);

#ifdef __cplusplus
}
#endif

#endif
