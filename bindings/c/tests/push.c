/* Pushes COUNT records into the ring at PATH, and says how many were made and refused. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "groundcrew_recorder.h"

int main(int argc, char **argv) {
    char error[256];
    uint64_t refused = 0;
    if (argc != 3) {
        return 2;
    }
    GcRing *ring = gc_ring_attach(argv[1], error, sizeof error);
    if (ring == NULL) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (uint64_t count = strtoull(argv[2], NULL, 10); count > 0; count--) {
        char body[64];
        int len = snprintf(body, sizeof body, "record %" PRIu64 " of C", gc_ring_made(ring));
        if (!gc_ring_push(ring, GC_USER_TYPES + 5, gc_time_ns(), body, (size_t)len)) {
            refused++;
        }
    }
    if (!gc_ring_push(ring, GC_USER_TYPES + 6, 0, NULL, 0)) {
        refused++;
    }
    printf("%" PRIu64 " %" PRIu64 "\n", gc_ring_made(ring), refused);
    gc_ring_detach(ring);
    gc_ring_detach(NULL);
    return 0;
}
