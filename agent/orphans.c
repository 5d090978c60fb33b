// SPDX-License-Identifier: Apache-2.0
#include "agent/orphans.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *orphans_path(const struct cluster_conf *c, unsigned self, char *path, size_t size) {
  snprintf(path, size, "%s/%s.%s.orphans", c->state_directory, c->name, c->voter[self].name);
  return path;
}

int orphans_make(const char *directory) {
  return mkdir(directory, 0750) == 0 || errno == EEXIST ? 0 : -errno;
}

/* Names come from people too: nothing but one in this directory. */
static int in(const char *directory, const char *name, char *path, size_t size) {
  if (name[0] == 0 || name[0] == '.' || strchr(name, '/') != NULL)
    return -ENOENT;
  return (size_t)snprintf(path, size, "%s/%s", directory, name) < size ? 0 : -ENAMETOOLONG;
}

static bool is_foreign(const char *path, struct orphans_file *file) {
  struct stat at;
  if (lstat(path, &at) != 0 || !S_ISREG(at.st_mode) || at.st_size == 0 ||
      sscanf(file->name, "%" SCNu64 "-%" SCNd64, &file->head.master_epoch, &file->head.wall_ms) != 2)
    return false;
  file->foreign = true;
  file->bytes = (uint64_t)at.st_size;
  return true;
}

static int of_other_version(const char *path, struct orphans_file *file) {
  struct stat at;
  if (stat(path, &at) != 0)
    return -errno;
  file->other_version = true;
  file->bytes = (uint64_t)at.st_size;
  file->head.wall_ms = at.st_mtim.tv_sec * INT64_C(1000) + at.st_mtim.tv_nsec / 1000000;
  return 0;
}

int orphans_look(const char *directory, struct orphans_file *file) {
  char path[PATH_MAX];
  struct tanist_orphan *orphan;
  struct tanist_orphan_entry entry;
  int rc = in(directory, file->name, path, sizeof path);
  rc = rc != 0 ? rc : tanist_orphan_open(&orphan, path, &file->head);
  if (rc == -EBADMSG && is_foreign(path, file))
    return 0;
  if (rc == -EPROTONOSUPPORT)
    return of_other_version(path, file);
  if (rc != 0)
    return rc;
  while ((rc = tanist_orphan_next(orphan, &entry)) == 1) {
    file->entries++;
    file->bytes += entry.size;
  }
  file->damaged = rc < 0;
  tanist_orphan_close(orphan);
  return 0;
}

static int by_time(const void *a, const void *b) {
  const struct orphans_file *x = a, *y = b;
  int64_t a_ms = x->head.wall_ms,
          b_ms = y->head.wall_ms; /* of files that anybody may have written: no difference */
  return a_ms != b_ms ? (a_ms > b_ms) - (a_ms < b_ms) : strcmp(x->name, y->name);
}

static int add(struct orphans_file **files, size_t *count, const struct orphans_file *file) {
  struct orphans_file *more = realloc(*files, (*count + 1) * sizeof *more);
  if (more == NULL)
    return -ENOMEM;
  *files = more;
  more[(*count)++] = *file;
  return 0;
}

int orphans_list(const char *directory, struct orphans_file **files, size_t *count) {
  *files = NULL;
  *count = 0;
  DIR *d = opendir(directory);
  if (d == NULL)
    return errno == ENOENT ? 0 : -errno;
  int rc = 0;
  for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
    struct orphans_file file = {0};
    snprintf(file.name, sizeof file.name, "%s", e->d_name);
    if (orphans_look(directory, &file) == 0)
      rc = add(files, count, &file);
  }
  closedir(d);
  if (rc != 0) {
    free(*files);
    *files = NULL;
    return rc;
  }
  if (*count > 0)
    qsort(*files, *count, sizeof **files, by_time);
  return 0;
}

/* By the time of the file or link itself: the agent must not read a large one through. Returns the count. */
static size_t find_oldest(const char *directory, char *name, size_t size) {
  char path[PATH_MAX];
  struct stat now, oldest = {0};
  size_t count = 0;
  DIR *d = opendir(directory);
  for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
    if (in(directory, e->d_name, path, sizeof path) != 0 || lstat(path, &now) != 0)
      continue;
    if (count++ == 0 || now.st_mtim.tv_sec < oldest.st_mtim.tv_sec ||
        (now.st_mtim.tv_sec == oldest.st_mtim.tv_sec && now.st_mtim.tv_nsec < oldest.st_mtim.tv_nsec)) {
      oldest = now;
      snprintf(name, size, "%s", e->d_name);
    }
  }
  if (d != NULL)
    closedir(d);
  return count;
}

bool orphans_prune(const char *directory, char gone[NAME_MAX + 1]) {
  return find_oldest(directory, gone, NAME_MAX + 1) > ORPHANS_KEPT && orphans_discard(directory, gone) == 0;
}

int orphans_adopt(const char *directory, const char *path) {
  char link[PATH_MAX];
  const char *slash = strrchr(path, '/');
  int rc = orphans_make(directory);
  if (rc == 0 && slash != NULL && strncmp(path, directory, strlen(directory)) == 0 &&
      path + strlen(directory) == slash)
    return 0;
  if (rc == 0 && (path[0] != '/' || in(directory, slash + 1, link, sizeof link) != 0))
    rc = -EINVAL;
  if (rc == 0 && symlink(path, link) != 0 && errno != EEXIST)
    rc = -errno;
  return rc;
}

/* Of another version, too. */
static int check_orphan(const char *path) {
  struct tanist_orphan *orphan;
  struct tanist_orphan_head head;
  int rc = tanist_orphan_open(&orphan, path, &head);
  if (rc == 0)
    tanist_orphan_close(orphan);
  return rc == -EPROTONOSUPPORT ? 0 : rc;
}

/* A broker has named it, and the agent may remove what the broker may not: so nothing but an orphan file
   goes, and it is looked at in the very directory that it is removed from. */
static int remove_target(char *target) {
  char by_fd[64];
  char *slash = strrchr(target, '/');
  if (slash == NULL || slash[1] == 0)
    return -EINVAL;
  *slash = 0;
  int directory = open(target[0] != 0 ? target : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0)
    return -errno;
  int file = openat(directory, slash + 1, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  int rc = file < 0 ? -errno : 0;
  snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%d", file);
  if (rc == 0 && (rc = check_orphan(by_fd)) == 0)
    rc = unlinkat(directory, slash + 1, 0) == 0 ? 0 : -errno;
  if (file >= 0)
    close(file);
  close(directory);
  return rc;
}

int orphans_discard(const char *directory, const char *name) {
  char path[PATH_MAX], target[PATH_MAX];
  int rc = in(directory, name, path, sizeof path);
  if (rc != 0)
    return rc;
  ssize_t n = readlink(path, target, sizeof target - 1);
  if (n > 0) {
    target[n] = 0;
    rc = remove_target(target);
    if (rc == -EACCES || rc == -EPERM || rc == -EROFS || rc == -EIO)
      return rc; /* it is still there */
  }
  return unlink(path) == 0 ? 0 : -errno;
}
