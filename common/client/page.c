// SPDX-License-Identifier: Apache-2.0
// Pages in shared memory under a sequence lock (H.-J. Boehm, "Can seqlocks get along with programming
// language memory models?", MSPC 2012: every word an atomic, fences around).
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/client/layout.h"

#define SPINS 10000 // a write takes well below a microsecond; whoever is that long at it was stopped

int page_boot_id(char id[PAGE_BOOT_ID]) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  memset(id, 0, PAGE_BOOT_ID);
  ssize_t size = read(fd, id, PAGE_BOOT_ID - 1);
  int rc = size < 0 ? -errno : size < 36 ? -EIO : 0;
  close(fd);
  id[36] = 0;
  return rc;
}

static int check_head(const struct page_head *head, uint64_t magic) {
  char boot_id[PAGE_BOOT_ID];
  int rc = page_boot_id(boot_id);
  if (rc != 0)
    return rc;
  if (head->magic != magic)
    return -EPROTO;
  if (head->layout != PAGE_LAYOUT)
    return -EPROTONOSUPPORT;
  if (head->self > 1) /* there are two nodes */
    return -EPROTO;
  return memcmp(head->boot_id, boot_id, sizeof boot_id) == 0 ? 0 : -ESTALE;
}

static int map(struct page **out, int fd, bool writable) {
  struct stat st;
  if (fstat(fd, &st) != 0)
    return -errno;
  if (!S_ISREG(st.st_mode) || st.st_size != PAGE_SIZE_BYTES)
    return -EPROTO; /* behind the end of a shorter one lies SIGBUS */
  void *at = mmap(NULL, PAGE_SIZE_BYTES, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (at == MAP_FAILED)
    return -errno;
  *out = at;
  return 0;
}

int page_map(struct page **out, int *fd, const char *path, uint64_t magic, bool writable) {
  *fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
  if (*fd < 0)
    return -errno;
  int rc = map(out, *fd, writable);
  if (rc == 0 && (rc = check_head(&(*out)->head, magic)) != 0)
    munmap(*out, PAGE_SIZE_BYTES);
  if (rc != 0) {
    close(*fd);
    *fd = -1;
    *out = NULL;
  }
  return rc;
}

/* What is there may be of an earlier boot, or no page at all: then it is made anew, and gets its name when it is
   whole. */
static int make_new(struct page **out, int *fd, const char *path, const struct page_head *head,
                    unsigned mode) {
  char fresh[PATH_MAX];
  if ((size_t)snprintf(fresh, sizeof fresh, "%s.new", path) >= sizeof fresh)
    return -ENAMETOOLONG;
  if (unlink(fresh) != 0 && errno != ENOENT)
    return -errno;
  *fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (*fd < 0)
    return -errno;
  int rc = ftruncate(*fd, PAGE_SIZE_BYTES) == 0 ? map(out, *fd, true) : -errno;
  if (rc == 0) {
    (*out)->head = *head;
    rc = fchmod(*fd, (mode_t)mode) == 0 && rename(fresh, path) == 0 ? 0 : -errno;
  }
  if (rc != 0) {
    unlink(fresh);
    close(*fd);
    *fd = -1;
  }
  return rc;
}

int page_make(struct page **out, int *fd, const char *path, const struct page_head *head, unsigned mode) {
  int rc = page_map(out, fd, path, head->magic, true);
  if (rc == 0 && memcmp(&(*out)->head, head, sizeof *head) == 0)
    return 0;
  if (rc == 0)
    page_unmap(*out, *fd);
  return make_new(out, fd, path, head, mode);
}

void page_unmap(struct page *page, int fd) {
  if (page != NULL)
    munmap(page, PAGE_SIZE_BYTES);
  if (fd >= 0)
    close(fd);
}

void page_ring(int fd) {
  static const char note = 1;
  ssize_t done = pwrite(fd, &note, sizeof note, PAGE_BELL);
  (void)done; /* who is not woken by it looks at the next beat */
}

bool page_read(const struct page *page, void *to, unsigned words) {
  uint64_t *out = to;
  for (unsigned spin = 0; spin < SPINS; spin++) {
    uint64_t before = atomic_load_explicit(&page->sequence, memory_order_acquire);
    if (before & 1)
      continue;
    for (unsigned i = 0; i < words; i++)
      out[i] = atomic_load_explicit(&page->word[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&page->sequence, memory_order_relaxed) == before)
      return true;
  }
  return false;
}

void page_write(struct page *page, const void *from, unsigned words) {
  const uint64_t *in = from;
  uint64_t sequence = atomic_load_explicit(&page->sequence, memory_order_relaxed) | 1;
  atomic_store_explicit(&page->sequence, sequence, memory_order_relaxed);
  atomic_thread_fence(memory_order_release);
  for (unsigned i = 0; i < words; i++)
    atomic_store_explicit(&page->word[i], in[i], memory_order_relaxed);
  atomic_store_explicit(&page->sequence, sequence + 1, memory_order_release);
}
