// SPDX-License-Identifier: Apache-2.0
#include "agent/pg_keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/pg_history.h"
#include "common/client/tanist.h"

#define BLOCK 512
#define PIECE ((16U << 20) + BLOCK) // of the archive, an entry of the orphan file: a segment of the usual size with its header
#define SEGMENT_MIN (1U << 20)

struct keep {
  int directory;
  uint32_t timeline; // of the fork
  uint64_t from, epoch;
  uint64_t segment; // bytes
  struct tanist_orphan *orphan;
  uint8_t *piece;
};

struct header { // ustar
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[6], version[2];
  char uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is a block");

static void make_header(struct header *h, const char *name, uint64_t size) {
  memset(h, 0, sizeof *h);
  snprintf(h->name, sizeof h->name, "%.99s", name);
  memcpy(h->mode, "0000600", 8);
  memcpy(h->uid, "0000000", 8);
  memcpy(h->gid, "0000000", 8);
  snprintf(h->size, sizeof h->size, "%011" PRIo64, size);
  snprintf(h->mtime, sizeof h->mtime, "%011" PRIo64, (uint64_t)time(NULL));
  h->type = '0';
  memcpy(h->magic, "ustar", 6);
  memcpy(h->version, "00", 2);
  memset(h->sum, ' ', sizeof h->sum);
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof *h; i++)
    sum += ((const unsigned char *)h)[i];
  snprintf(h->sum, sizeof h->sum, "%06o", sum);
}

static bool parse(const char *name, uint32_t *timeline, uint32_t *high, uint32_t *low) {
  return strlen(name) == 24 && strspn(name, "0123456789ABCDEF") == 24 &&
         sscanf(name, "%8" SCNx32 "%8" SCNx32 "%8" SCNx32, timeline, high, low) == 3;
}

static uint64_t position_of(const struct keep *k, uint32_t high, uint32_t low) {
  return (uint64_t)high << 32 | (uint64_t)low * k->segment;
}

// A segment that waits for its use still has the content of a former one: its first page says where it belongs.
static bool in_use(const struct keep *k, const char *name, uint64_t position) {
  uint8_t page[16];
  uint64_t address;
  int fd = openat(k->directory, name, O_RDONLY | O_CLOEXEC);
  bool there = fd >= 0 && read(fd, page, sizeof page) == (ssize_t)sizeof page;
  if (fd >= 0)
    close(fd);
  memcpy(&address, page + 8, sizeof address); // the machine's own order, as PostgreSQL writes it
  return there && address == position;
}

static bool wanted(const struct keep *k, const char *name, uint64_t *position) {
  uint32_t timeline, high, low;
  *position = k->from;
  if (strlen(name) == 16 && strcmp(name + 8, ".history") == 0 && sscanf(name, "%8" SCNx32, &timeline) == 1)
    return timeline > k->timeline;
  if (!parse(name, &timeline, &high, &low))
    return false;
  *position = position_of(k, high, low);
  if (timeline < k->timeline || (timeline == k->timeline && *position + k->segment <= k->from))
    return false;
  return in_use(k, name, *position);
}

// One file of the archive, in as many entries as it takes.
static int keep_file(struct keep *k, const char *name, uint64_t position) {
  struct stat at;
  int fd = openat(k->directory, name, O_RDONLY | O_CLOEXEC), rc = 0;
  if (fd < 0 || fstat(fd, &at) != 0) {
    rc = -errno;
    if (fd >= 0)
      close(fd);
    return rc;
  }
  uint64_t left = (uint64_t)at.st_size, pad = (BLOCK - left % BLOCK) % BLOCK, total = left + pad;
  make_header((struct header *)(void *)k->piece, name, left);
  size_t used = BLOCK;
  for (bool first = true; rc == 0 && (first || total > 0); first = false) {
    size_t room = PIECE - used, size = total < room ? (size_t)total : room, data = left < size ? (size_t)left : size;
    for (size_t got = 0; rc == 0 && got < data;) {
      ssize_t n = read(fd, k->piece + used + got, data - got);
      rc = n > 0 ? 0 : n < 0 ? -errno : -EIO;
      got += n > 0 ? (size_t)n : 0;
    }
    memset(k->piece + used + data, 0, size - data);
    left -= data;
    total -= size;
    struct tanist_orphan_entry entry = {.epoch = k->epoch, .position = position, .data = k->piece, .size = used + size};
    rc = rc == 0 ? tanist_orphan_write(k->orphan, &entry) : rc;
    used = 0;
  }
  close(fd);
  return rc;
}

static int keep_all(struct keep *k) {
  struct dirent **names;
  uint64_t position;
  int count = scandirat(k->directory, ".", &names, NULL, alphasort), rc = count < 0 ? -errno : 0;
  for (int i = 0; i < count; i++) {
    if (rc == 0 && wanted(k, names[i]->d_name, &position))
      rc = keep_file(k, names[i]->d_name, position);
    free(names[i]);
  }
  if (count >= 0)
    free(names);
  return rc;
}

// All segments are of one size, a power of two.
static int measure(struct keep *k) {
  uint32_t timeline, high, low;
  struct stat at;
  DIR *d = fdopendir(dup(k->directory));
  for (struct dirent *e; d != NULL && k->segment == 0 && (e = readdir(d)) != NULL;)
    if (parse(e->d_name, &timeline, &high, &low) && fstatat(k->directory, e->d_name, &at, 0) == 0 &&
        at.st_size >= (off_t)SEGMENT_MIN)
      k->segment = (uint64_t)at.st_size;
  if (d == NULL)
    return -errno;
  closedir(d);
  return k->segment > 0 ? 0 : -ENOENT;
}

static int run(struct keep *k, const char *file, uint64_t master_epoch) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct tanist_orphan_head head = {.epoch = k->epoch,
                                    .position = k->from,
                                    .master_epoch = master_epoch,
                                    .wall_ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000};
  int rc = measure(k);
  rc = rc != 0 ? rc : tanist_orphan_create(&k->orphan, file, &head);
  if (rc != 0)
    return rc;
  rc = keep_all(k);
  if (rc == 0)
    return tanist_orphan_finish(k->orphan);
  tanist_orphan_close(k->orphan);
  return rc;
}

int pg_keep_main(int argc, char **argv) {
  struct keep k = {.directory = -1};
  if (argc != 6 || !pg_position_read(argv[2], &k.from)) {
    fprintf(stderr, PG_KEEP_OPTION ": not for people; the agent runs it\n");
    return 2;
  }
  k.timeline = (uint32_t)strtoul(argv[1], NULL, 10);
  k.epoch = strtoull(argv[4], NULL, 10);
  k.piece = malloc(PIECE);
  k.directory = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int rc = k.piece == NULL ? -ENOMEM : k.directory < 0 ? -errno : run(&k, argv[3], strtoull(argv[5], NULL, 10));
  if (k.directory >= 0)
    close(k.directory);
  free(k.piece);
  if (rc != 0)
    fprintf(stderr, "%s: %s\n", argv[3], strerror(-rc));
  return rc == 0 ? 0 : 1;
}
