// SPDX-License-Identifier: Apache-2.0
#include "common/base/durable.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/slot.h"

#define SLOTS SLOT_COUNT
#define FILE_SIZE SLOT_FILE_SIZE
#define RETRIES 8 // a file that is replaced that often while it is being opened is somebody else's

struct durable {
  int fd;
  uint64_t sequence; // of the newest good slot, which is slot `sequence % SLOTS`
  char identity[DURABLE_IDENTITY_MAX + 1];
  uint8_t block[DURABLE_BLOCK];
};

// ---- directory, name and lock ----

static int open_directory(const char *directory) {
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd >= 0 ? fd : errno == ENOENT ? -ENOTDIR : -errno;
}

// Whether the name still is the file that was opened: between open and lock it may have been renamed by
// whoever held the lock.
static bool is_named(int dirfd, const char *name, int fd) {
  struct stat by_name, by_fd;
  return fstatat(dirfd, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &by_fd) == 0 &&
         by_name.st_dev == by_fd.st_dev && by_name.st_ino == by_fd.st_ino;
}

// The descriptor, locked, or -EBUSY, -ENOENT, -EBADMSG for what is no regular file, ...
static int open_locked(int dirfd, const char *name, int flags) {
  for (int i = 0; i < RETRIES; i++) {
    // O_NONBLOCK: a FIFO by this name must not hang us
    int fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
      return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EBADMSG : -errno;
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) != 0)
      rc = -errno;
    else if (!S_ISREG(st.st_mode))
      rc = -EBADMSG;
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
      rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
    else if (is_named(dirfd, name, fd))
      return fd;
    close(fd);
    if (rc != 0)
      return rc;
  }
  return -EBUSY;
}

static struct durable *durable_new(int fd, const char *identity) {
  struct durable *durable = calloc(1, sizeof *durable);
  if (durable == NULL)
    return NULL;
  durable->fd = fd;
  memcpy(durable->identity, identity, strlen(identity));
  return durable;
}

// ---- open ----

// A process that was killed between its pwrite and its fdatasync leaves a slot that can be read but is not on
// the disk yet; one whose fdatasync failed, a slot that the page cache holds as clean and the disk does not
// hold. So sync, drop the cache, and read what is really there.
static int read_file(int fd, uint8_t file[FILE_SIZE]) {
  struct stat st;
  if (fstat(fd, &st) != 0)
    return -errno;
  if (st.st_size != FILE_SIZE)
    return -EBADMSG;
  if (fdatasync(fd) != 0)
    return -errno;
  (void)posix_fadvise(fd, 0, 0,
                      POSIX_FADV_DONTNEED); // a file system without it has no cache of its own to drop
  ssize_t size = pread(fd, file, FILE_SIZE, 0);
  return size < 0 ? -errno : size != FILE_SIZE ? -EBADMSG : 0;
}

int durable_open(struct durable **out, const char *directory, const char *name, const char *identity,
                 struct durable_content *content) {
  uint8_t file[FILE_SIZE];
  uint64_t sequence = 0;
  *out = NULL;
  memset(content, 0, sizeof *content);
  if (strlen(identity) > DURABLE_IDENTITY_MAX)
    return -ENAMETOOLONG;
  int dirfd = open_directory(directory);
  if (dirfd < 0)
    return dirfd;
  int fd = open_locked(dirfd, name, O_RDWR);
  close(dirfd);
  if (fd < 0)
    return fd;
  int rc = read_file(fd, file);
  if (rc == 0)
    rc = slot_choose(file, identity, content, &sequence);
  if (rc == 0 && (*out = durable_new(fd, identity)) == NULL)
    rc = -ENOMEM;
  if (rc != 0)
    close(fd);
  else
    (*out)->sequence = sequence;
  return rc;
}

// ---- create ----

// Both slots, so that from the first day a slot that cannot be read is one that was torn.
static int fill(int fd, const char *identity, const void *payload, size_t size) {
  uint8_t file[FILE_SIZE];
  slot_encode(file, SLOTS, identity, payload, size); // even: slot 0, the newer
  slot_encode(file + DURABLE_BLOCK, SLOTS - 1, identity, payload, size);
  if (ftruncate(fd, 0) != 0)
    return -errno;
  int rc = posix_fallocate(fd, 0, FILE_SIZE);
  if (rc != 0)
    return -rc;
  ssize_t written = pwrite(fd, file, FILE_SIZE, 0);
  if (written != FILE_SIZE)
    return written < 0 ? -errno : -ENOSPC;
  return fsync(fd) == 0 ? 0 : -errno;
}

// Fills the temporary file and gives it its name. The lock it is under goes with it: nobody else gets in
// between.
static int create_locked(int dirfd, int fd, const char *temporary, const char *name, const char *identity,
                         const void *payload, size_t size) {
  int rc = fill(fd, identity, payload, size);
  if (rc == 0 && renameat2(dirfd, temporary, dirfd, name, RENAME_NOREPLACE) != 0)
    rc = -errno;
  if (rc != 0) {
    unlinkat(dirfd, temporary, 0);
    return rc;
  }
  if (fsync(dirfd) == 0)
    return 0;
  rc =
      -errno; // the name may or may not survive a crash: none is what we say, so none is what there should be
  unlinkat(dirfd, name, 0);
  return rc;
}

int durable_create(struct durable **out, const char *directory, const char *name, const char *identity,
                   const void *payload, size_t size) {
  char temporary[256];
  *out = NULL;
  if (strlen(identity) > DURABLE_IDENTITY_MAX ||
      snprintf(temporary, sizeof temporary, "%s.new", name) >= (int)sizeof temporary)
    return -ENAMETOOLONG;
  if (size > DURABLE_PAYLOAD_MAX)
    return -EMSGSIZE;
  int dirfd = open_directory(directory);
  if (dirfd < 0)
    return dirfd;
  int fd = open_locked(dirfd, temporary, O_RDWR | O_CREAT);
  int rc = fd < 0 ? fd : create_locked(dirfd, fd, temporary, name, identity, payload, size);
  close(dirfd);
  if (rc == 0 && (*out = durable_new(fd, identity)) == NULL)
    rc = -ENOMEM;
  if (rc == 0)
    (*out)->sequence = SLOTS;
  else if (fd >= 0)
    close(fd);
  return rc;
}

// ---- write, close ----

int durable_write(struct durable *durable, const void *payload, size_t size) {
  if (size > DURABLE_PAYLOAD_MAX)
    return -EMSGSIZE;
  uint64_t next = durable->sequence + 1;
  slot_encode(durable->block, next, durable->identity, payload, size);
  ssize_t written = pwrite(durable->fd, durable->block, DURABLE_BLOCK, (off_t)(next % SLOTS) * DURABLE_BLOCK);
  if (written != DURABLE_BLOCK)
    return written < 0 ? -errno : -ENOSPC;
  if (fdatasync(durable->fd) != 0)
    return -errno;
  durable->sequence = next; // only now is it the other slot's turn
  return 0;
}

void durable_close(struct durable *durable) {
  if (durable == NULL)
    return;
  close(durable->fd);
  free(durable);
}

// ---- set aside ----

int durable_set_aside(const char *directory, const char *name, char *kept_as, size_t size) {
  time_t now = time(NULL);
  struct tm utc;
  char date[32];
  gmtime_r(&now, &utc);
  strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &utc);
  if (snprintf(kept_as, size, "%s.aside-%s", name, date) >= (int)size)
    return -ENAMETOOLONG;
  int dirfd = open_directory(directory);
  if (dirfd < 0)
    return dirfd;
  int fd = open_locked(dirfd, name, O_RDONLY);
  int rc = fd < 0 ? fd : 0;
  // Something else by this name cannot be in use by us: it too goes out of the way.
  if ((rc == 0 || rc == -EBADMSG) && renameat2(dirfd, name, dirfd, kept_as, RENAME_NOREPLACE) != 0)
    rc = -errno;
  else if (rc == -EBADMSG)
    rc = 0;
  if (rc == 0 && fsync(dirfd) != 0)
    rc = -errno;
  if (fd >= 0)
    close(fd);
  close(dirfd);
  return rc;
}
