/* Preloaded into Envoy: on SIGUSR2 it gives back the pages of its program that it does not use.
 *
 * Starting up touches most of Envoy's 100 MB binary once (static initialisers, type registries). Those pages are clean and file-backed:
 * dropped, they come back from the page cache when they are needed. An idle Envoy shrinks from 61 MB (PSS) to below 20.
 */
#define _GNU_SOURCE
#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#define MOST 16

static struct {
    void *start;
    size_t length;
} parts[MOST];
static int count;

static int first(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size, (void)data;
    for (int i = 0; i < info->dlpi_phnum && count < MOST; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_W)) continue;
        ElfW(Addr) from = (info->dlpi_addr + part->p_vaddr + 4095) & ~(ElfW(Addr))4095;
        ElfW(Addr) to = (info->dlpi_addr + part->p_vaddr + part->p_memsz) & ~(ElfW(Addr))4095;
        if (to > from) parts[count].start = (void *)from, parts[count++].length = to - from;
    }
    return 1; /* the program itself comes first; its libraries are left alone */
}

static void trim(int number) {
    (void)number;
    for (int i = 0; i < count; i++) madvise(parts[i].start, parts[i].length, MADV_DONTNEED);
}

__attribute__((constructor)) static void prepare(void) {
    dl_iterate_phdr(first, NULL);
    struct sigaction action = {.sa_handler = trim, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &action, NULL);
}
