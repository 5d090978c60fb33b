// SPDX-License-Identifier: Apache-2.0
#include "common/base/key.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/crypto.h"

static_assert(KEY_SIZE == CRYPTO_KEY_SIZE, "a key file holds what X25519 takes");

#define KEY_TEXT_LENGTH (KEY_TEXT_SIZE - 1)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A secret is never an index: the whole table is walked for each digit, so that caches and timing tell
 * nothing. */
static char digit_of(unsigned value) {
  char digit = 0;
  for (unsigned i = 0; i < 64; i++)
    digit = (char)(i == value ? digits[i] : digit);
  return digit;
}

static int value_of(char digit) {
  int value = -1;
  for (int i = 0; i < 64; i++)
    value = digits[i] == digit ? i : value;
  return value;
}

void key_format(const unsigned char key[KEY_SIZE], char text[KEY_TEXT_SIZE]) {
  uint32_t bits = 0;
  unsigned have = 0, length = 0;
  for (unsigned i = 0; i < KEY_SIZE; i++) {
    bits = bits << 8 | key[i];
    for (have += 8; have >= 6; have -= 6)
      text[length++] = digit_of(bits >> (have - 6) & 63);
  }
  text[length++] = digit_of(bits << (6 - have) & 63);
  text[length++] = '=';
  text[length] = '\0';
}

/* Exactly one spelling of each key: 43 digits, the last with its two spare bits zero, and one '='. */
static bool parse(const char *text, unsigned char key[KEY_SIZE]) {
  uint32_t bits = 0;
  unsigned have = 0, size = 0;
  if (strlen(text) != KEY_TEXT_LENGTH || text[KEY_TEXT_LENGTH - 1] != '=')
    return false;
  for (unsigned i = 0; i < KEY_TEXT_LENGTH - 1; i++) {
    int value = value_of(text[i]);
    if (value < 0)
      return false;
    bits = bits << 6 | (uint32_t)value;
    have += 6;
    if (have >= 8) {
      have -= 8;
      key[size++] = (unsigned char)(bits >> have & 0xff);
    }
  }
  return (bits & ((1u << have) - 1)) == 0;
}

int key_public_parse(const char *text, unsigned char public_key[KEY_SIZE], char *error, size_t size) {
  if (!parse(text, public_key)) {
    snprintf(
        error, size,
        "\"%.60s\" is not a public key: it must be 32 bytes in base64, 44 characters that end in '=', as "
        "tanist keygen prints it",
        text);
    return -EINVAL;
  }
  struct key any;
  unsigned char secret[KEY_SIZE];
  crypto_random(any.private_key, sizeof any.private_key);
  int rc = crypto_agree(any.private_key, public_key, secret);
  crypto_wipe(secret, sizeof secret);
  crypto_wipe(&any, sizeof any);
  if (rc != 0 && rc != -EINVAL)
    snprintf(error, size, "the public key \"%s\" cannot be checked: %s", text, strerror(-rc));
  else if (rc != 0)
    snprintf(error, size,
             "\"%s\" is a public key of low order, which protects nothing: make another with tanist keygen",
             text);
  return rc;
}

// ---- files ----

static int write_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t done = write(fd, bytes, size);
    if (done < 0 && errno != EINTR)
      return -errno;
    if (done > 0) {
      bytes += done;
      size -= (size_t)done;
    }
  }
  return 0;
}

/* Only root may give a file away; anyone else makes keys for itself. */
static int give_to_tanist(int fd) {
  const struct passwd *user = geteuid() == 0 ? getpwnam("tanist") : NULL;
  return user != NULL && fchown(fd, user->pw_uid, user->pw_gid) != 0 ? -errno : 0;
}

static int sync_folder(const char *path) {
  char copy[PATH_MAX];
  if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
    return -ENAMETOOLONG;
  int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  int rc = fsync(fd) == 0 ? 0 : -errno;
  close(fd);
  return rc;
}

static int fill(int fd, const char *path, const struct key *key) {
  char line[KEY_TEXT_SIZE + 1];
  key_format(key->private_key, line);
  line[KEY_TEXT_LENGTH] = '\n';
  int rc = write_all(fd, line, KEY_TEXT_SIZE);
  crypto_wipe(line, sizeof line);
  if (rc == 0)
    rc = give_to_tanist(fd);
  if (rc == 0 && fsync(fd) != 0)
    rc = -errno;
  return rc == 0 ? sync_folder(path) : rc;
}

static int create(const char *path, const struct key *key) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return -errno;
  int rc = fchmod(fd, 0600) == 0 ? fill(fd, path, key) : -errno; // whatever the umask took away
  if (close(fd) != 0 && rc == 0)
    rc = -errno;
  if (rc != 0)
    unlink(path); // half a key file would only be in the way
  return rc;
}

int key_generate(const char *path, struct key *key, char *error, size_t size) {
  crypto_random(key->private_key, sizeof key->private_key);
  int rc = crypto_public(key->private_key, key->public_key);
  if (rc == 0)
    rc = create(path, key);
  if (rc == -EEXIST)
    snprintf(error, size, "%s exists already and is never overwritten: tanist pubkey prints its public key",
             path);
  else if (rc != 0)
    snprintf(error, size, "cannot write the key file %s: %s", path, strerror(-rc));
  if (rc != 0)
    key_wipe(key);
  return rc;
}

static int check_mode(const char *path, const struct stat *status, char *error, size_t size) {
  if (!S_ISREG(status->st_mode)) {
    snprintf(error, size, "%s is not a regular file: tanist keygen makes a key file", path);
    return -EPERM;
  }
  if ((status->st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    snprintf(error, size, "the key file %s is open to others than its owner (mode %04o): run chmod 600 %s",
             path, (unsigned)(status->st_mode & 07777), path);
    return -EPERM;
  }
  return 0;
}

static int cannot_read(const char *path, int rc, char *error, size_t size) {
  if (rc == -ENOENT)
    snprintf(error, size, "there is no key file %s: make one with tanist keygen", path);
  else if (rc == -EACCES)
    snprintf(error, size,
             "the key file %s cannot be read: it must belong to the user that runs this program; then run "
             "chmod 600 %s",
             path, path);
  else
    snprintf(error, size, "the key file %s cannot be read: %s", path, strerror(-rc));
  return rc;
}

/* One byte more than a key file has, so that a longer one is seen. */
static ssize_t read_all(int fd, char *bytes, size_t size) {
  size_t have = 0;
  while (have < size) {
    ssize_t got = read(fd, bytes + have, size - have);
    if (got == 0)
      break;
    if (got < 0 && errno != EINTR)
      return -errno;
    have += got > 0 ? (size_t)got : 0;
  }
  return (ssize_t)have;
}

static int load(int fd, const char *path, struct key *key, char *error, size_t size) {
  struct stat status;
  if (fstat(fd, &status) != 0)
    return cannot_read(path, -errno, error, size);
  int rc = check_mode(path, &status, error, size);
  if (rc != 0)
    return rc;
  char line[KEY_TEXT_SIZE + 2] = "";
  ssize_t have = read_all(fd, line, KEY_TEXT_SIZE + 1);
  if (have < 0)
    return cannot_read(path, (int)have, error, size);
  if (have == KEY_TEXT_SIZE && line[KEY_TEXT_LENGTH] == '\n')
    line[KEY_TEXT_LENGTH] = '\0';
  rc = parse(line, key->private_key) ? crypto_public(key->private_key, key->public_key) : -EBADMSG;
  crypto_wipe(line, sizeof line);
  if (rc != 0)
    snprintf(error, size, "%s holds no key: it must be one line of 44 characters as tanist keygen writes it",
             path);
  return rc;
}

int key_load(const char *path, struct key *key, char *error, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO in its place must not hang the start
  if (fd < 0)
    return cannot_read(path, -errno, error, size);
  int rc = load(fd, path, key, error, size);
  close(fd);
  if (rc != 0)
    key_wipe(key);
  return rc;
}

void key_wipe(struct key *key) {
  crypto_wipe(key, sizeof *key);
}
