// SPDX-License-Identifier: Apache-2.0
// Whatever is sent to an agent's HTTP address. The agent is a whole one, as in fuzz_control.c. What it answers must be an
// answer of HTTP, with one body of the length that its head says, and nothing of the request in the head.
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "common/base/metrics.h"
#include "tests/fuzz/cluster.h"
#include "tests/fuzz/daemon.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static char said[1 << 20];
static size_t length;
static bool whole;

static void *run(void *unused) {
  struct agent_options options = {.file = fuzz_cluster_file(), .name = "a"};
  (void)unused;
  fprintf(stderr, "the agent has ended: %d\n", agent_run(&options));
  return NULL;
}

static void take(const char *bytes, size_t size) {
  assert(size <= sizeof said - 1 - length);
  memcpy(said + length, bytes, size);
  length += size;
  said[length] = 0;
  whole = size == 0;
}

/* Past the constant, or the answer is none. */
static char *past(char *at, const char *constant) {
  assert(strncmp(at, constant, strlen(constant)) == 0);
  return at + strlen(constant);
}

static void look_at_answer(bool head_only) {
  static const char *const lines[] = {"200 OK", "400 Bad Request", "404 Not Found", "405 Method Not Allowed",
                                      "431 Request Header Fields Too Large", "503 Service Unavailable"};
  static const char *const types[] = {"application/json", "application/x-ndjson", "text/html; charset=utf-8",
                                      "text/plain", METRICS_TYPE};
  char *at = past(said, "HTTP/1.1 "), *end = strstr(said, "\r\n\r\n");
  bool known = false;
  assert(end != NULL);
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    known = known || strncmp(at, lines[i], strcspn(at, "\r")) == 0;
  assert(known);
  at = past(strstr(at, "\r\n"), "\r\nContent-Type: ");
  known = false;
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    known = known || strncmp(at, types[i], strcspn(at, "\r")) == 0;
  assert(known);
  at = past(strstr(at, "\r\n"), "\r\nContent-Length: ");
  size_t size = strtoul(at, &at, 10);
  at = past(at, "\r\nCache-Control: no-store\r\nConnection: close");
  assert(at == end);
  size_t body = length - (size_t)(end + 4 - said);
  assert(body == size || (head_only && body == 0)); /* what is no request has no method */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  daemon_start(run, fuzz_cluster()->http_listen);
  length = 0;
  whole = false;
  daemon_talk(fuzz_cluster()->http_listen, bytes, size, take);
  for (; size > 0 && *bytes == ' '; bytes++, size--)
    ; /* before the method: lenient */
  if (whole && length > 0) /* else it was gone: more came than it reads */
    look_at_answer(size > 5 && memcmp(bytes, "HEAD ", 5) == 0);
  return 0;
}
