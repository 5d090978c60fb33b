// SPDX-License-Identifier: Apache-2.0
// Drives the virtual IPs by hand: commands on stdin, one answer line on stdout each, with CLOCK_BOOTTIME in
// µs.
//   add SECONDS   refresh SECONDS   drop   announce   until MS_FROM_NOW   held   time N SECONDS
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/vip.h"
#include "common/base/clock.h"

static struct loop *loop;
static struct vip *vip;
static size_t count;
static char input[512];
static size_t input_size;

static void answer(int rc) {
  printf("%" PRId64 " %d %s\n", clock_now().us, rc, vip_trouble(vip));
}

static void print_held(void) {
  printf("%" PRId64 " ", clock_now().us);
  for (size_t i = 0; i < count; i++)
    putchar(vip_held(vip, i) ? '1' : '0');
  putchar('\n');
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

// How long a refresh takes: median and the worst of n.
static void time_refresh(unsigned n, unsigned seconds) {
  static int64_t took[1000];
  n = n < 1 ? 1 : n > 1000 ? 1000 : n;
  for (unsigned i = 0; i < n; i++) {
    int64_t before = clock_now().us;
    vip_refresh(vip, seconds);
    took[i] = clock_now().us - before;
  }
  qsort(took, n, sizeof(took[0]), by_value);
  printf("%" PRId64 " median %" PRId64 " max %" PRId64 "\n", clock_now().us, took[n / 2], took[n - 1]);
}

static void command(const char *line) {
  unsigned a = 0, b = 0;
  if (sscanf(line, "add %u", &a) == 1)
    answer(vip_add(vip, a));
  else if (sscanf(line, "refresh %u", &a) == 1)
    answer(vip_refresh(vip, a));
  else if (strcmp(line, "drop") == 0)
    answer(vip_drop(vip));
  else if (strcmp(line, "announce") == 0)
    vip_announce(vip), answer(0);
  else if (sscanf(line, "until %u", &a) == 1)
    vip_until(vip, instant_in_ms(a)), answer(0);
  else if (strcmp(line, "held") == 0)
    print_held();
  else if (sscanf(line, "time %u %u", &a, &b) == 2)
    time_refresh(a, b);
  else
    printf("? %s\n", line);
}

static void on_input(void *arg, bool readable, bool writable) {
  (void)arg;
  (void)readable;
  (void)writable;
  ssize_t size = read(STDIN_FILENO, input + input_size, sizeof(input) - 1 - input_size);
  if (size == 0 || (size < 0 && errno != EAGAIN))
    loop_stop(loop);
  if (size <= 0)
    return;
  input_size += (size_t)size;
  input[input_size] = '\0';
  for (char *end; (end = strchr(input, '\n'));) {
    *end = '\0';
    command(input);
    input_size -= (size_t)(end + 1 - input);
    memmove(input, end + 1, input_size + 1);
  }
}

int main(int argc, char **argv) {
  struct vip_settings settings = {0};
  if (argc < 3 || argc % 2 == 0 || argc / 2 > VIP_MAX) {
    fprintf(stderr, "usage: vip_probe ADDRESS/PREFIX INTERFACE ...\n");
    return 2;
  }
  for (int i = 1; i + 1 < argc; i += 2) {
    settings.at[settings.count].address = argv[i];
    settings.at[settings.count++].interface = argv[i + 1];
  }
  count = settings.count;
  setvbuf(stdout, NULL, _IOLBF, 0);
  loop = loop_new();
  const char *error = "";
  int rc = loop ? vip_open(&vip, loop, &settings, &error) : -ENOMEM;
  if (rc < 0) {
    printf("error %d %s\n", rc, error);
    loop_free(loop);
    return 1;
  }
  printf("%" PRId64 " 0 open\n", clock_now().us);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  struct loop_io *io = loop_io_new(loop, STDIN_FILENO, on_input, NULL);
  loop_io_want(io, true, false);
  rc = loop_run(loop);
  loop_io_free(io);
  vip_free(vip);
  loop_free(loop);
  return rc < 0;
}
