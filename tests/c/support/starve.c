#define _GNU_SOURCE
#include "starve.h"

#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_long left, refusals, alive;
static atomic_bool is_hungry, did_refuse;

void starve_begin(long skip_count, long refuse_count) {
    left = skip_count;
    refusals = refuse_count;
    did_refuse = false;
    is_hungry = true;
}

bool starve_end(void) {
    is_hungry = false;
    return did_refuse;
}

long starve_live(void) {
    return alive;
}

void starve_count(long blocks) {
    alive += blocks;
}

bool starve_refuses(void) {
    if (!is_hungry || atomic_fetch_sub(&left, 1) > 0 || atomic_fetch_sub(&refusals, 1) <= 0) {
        return false;
    }
    did_refuse = true;
    return true;
}

/* ---- what is put in the place of libc's ---- */

static void *counted(void *block) {
    alive += block != NULL;
    return block;
}

static void *hooked_malloc(size_t size) {
    return starve_refuses() ? NULL : counted(malloc(size));
}

static void *hooked_calloc(size_t count, size_t size) {
    return starve_refuses() ? NULL : counted(calloc(count, size));
}

static void *hooked_realloc(void *old, size_t size) {
    if (starve_refuses()) {
        return NULL;
    }
    return old == NULL ? counted(malloc(size)) : realloc(old, size);
}

static void hooked_free(void *block) {
    alive -= block != NULL;
    free(block);
}

static const struct {
    const char *name;
    void (*stand_in)(void);
} hooks[] = {
    {"malloc", (void (*)(void))hooked_malloc},
    {"calloc", (void (*)(void))hooked_calloc},
    {"realloc", (void (*)(void))hooked_realloc},
    {"free", (void (*)(void))hooked_free},
};

/* ---- relocations ---- */

typedef struct object {
    uintptr_t base;
    const ElfW(Sym) * symbols;
    const char *names;
    const ElfW(Rela) * tables[2];
    size_t sizes[2];
} object;

typedef struct search {
    const char *path_part;
    size_t changed_count;
} search;

/* Addresses of the dynamic section are relocated by glibc, but not everywhere. */
static const void *at(uintptr_t base, uintptr_t address) {
    return (const void *)(address < base ? base + address : address);
}

static object read_dynamic(uintptr_t base, const ElfW(Dyn) * entry) {
    object found = {.base = base};
    for (; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB:
            found.symbols = at(base, entry->d_un.d_ptr);
            break;
        case DT_STRTAB:
            found.names = at(base, entry->d_un.d_ptr);
            break;
        case DT_RELA:
            found.tables[0] = at(base, entry->d_un.d_ptr);
            break;
        case DT_RELASZ:
            found.sizes[0] = entry->d_un.d_val;
            break;
        case DT_JMPREL:
            found.tables[1] = at(base, entry->d_un.d_ptr);
            break;
        case DT_PLTRELSZ:
            found.sizes[1] = entry->d_un.d_val;
            break;
        default:
            break;
        }
    }
    return found;
}

/* Its page may be read only since the program was loaded, and stays writable. */
static bool put(uintptr_t *slot, uintptr_t value) {
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)slot & ~(page_bytes - 1));
    if (*slot == value || mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    *slot = value;
    return true;
}

static bool relocate(const object *found, const ElfW(Rela) * entry) {
    size_t index = ELF64_R_SYM(entry->r_info);
    const char *name = found->names + found->symbols[index].st_name;
    for (size_t i = 0; index > 0 && i < sizeof hooks / sizeof hooks[0]; i++) {
        if (strcmp(name, hooks[i].name) == 0) {
            return put((uintptr_t *)(found->base + entry->r_offset), (uintptr_t)hooks[i].stand_in);
        }
    }
    return false;
}

static int visit(struct dl_phdr_info *info, size_t size, void *user_data) {
    search *wanted = user_data;
    (void)size;
    bool is_meant = wanted->path_part[0] == '\0' ? info->dlpi_name[0] == '\0' : strstr(info->dlpi_name, wanted->path_part) != NULL;
    for (size_t i = 0; is_meant && i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) {
            continue;
        }
        object found = read_dynamic(info->dlpi_addr, (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr));
        for (size_t table = 0; table < 2; table++) {
            for (size_t entry = 0; found.tables[table] != NULL && entry < found.sizes[table] / sizeof(ElfW(Rela)); entry++) {
                wanted->changed_count += relocate(&found, &found.tables[table][entry]);
            }
        }
    }
    return 0;
}

size_t starve_hook(const char *path_part) {
    search wanted = {path_part, 0};
    dl_iterate_phdr(visit, &wanted);
    return wanted.changed_count;
}
