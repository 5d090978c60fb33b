// SPDX-License-Identifier: Apache-2.0
#include "agent/bpf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD_TRIES 5

#define TCX_INGRESS 46 // since Linux 6.6; Debian 12's headers do not know them
#define TCX_EGRESS 47

static int call(enum bpf_cmd command, union bpf_attr *attributes) {
  long rc = syscall(SYS_bpf, command, attributes, sizeof(*attributes));
  return rc < 0 ? -errno : (int)rc;
}

static uint64_t pointer(const void *p) {
  return (uint64_t)(uintptr_t)p;
}

int bpf_word_open(struct bpf_word *word, const char *name) {
  *word = (struct bpf_word){.map = -1};
  if (sizeof(long) < sizeof(uint64_t)) // a program would read half an old and half a new deadline
    return -EOPNOTSUPP;
  union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY,
                               .key_size = sizeof(uint32_t),
                               .value_size = sizeof(uint64_t),
                               .max_entries = 1,
                               .map_flags = BPF_F_MMAPABLE};
  snprintf(attributes.map_name, sizeof(attributes.map_name), "%s", name);
  int map = call(BPF_MAP_CREATE, &attributes);
  if (map < 0)
    return map;
  void *value = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  int rc = value == MAP_FAILED ? -errno : 0;
  word->map = map;
  word->value = value == MAP_FAILED ? NULL : value;
  if (rc < 0)
    bpf_word_close(word);
  return rc;
}

void bpf_word_close(struct bpf_word *word) {
  if (word->value)
    munmap((void *)word->value, (size_t)sysconf(_SC_PAGESIZE));
  if (word->map >= 0)
    close(word->map);
  *word = (struct bpf_word){.map = -1};
}

// "Apache-2.0": the helpers that we call are open to programs of any licence.
int bpf_load(const struct bpf_insn *code, size_t count, const char *name, char *log, uint32_t log_size) {
  static const char license[] = "Apache-2.0";
  union bpf_attr attributes = {.prog_type = BPF_PROG_TYPE_SCHED_CLS,
                               .insn_cnt = (uint32_t)count,
                               .insns = pointer(code),
                               .license = pointer(license),
                               .log_level = log ? 1 : 0,
                               .log_buf = pointer(log),
                               .log_size = log ? log_size : 0};
  snprintf(attributes.prog_name, sizeof(attributes.prog_name), "%s", name);
  int rc = -EAGAIN; /* the verifier gives up when a signal comes */
  for (int i = 0; i < LOAD_TRIES && rc == -EAGAIN; i++)
    rc = call(BPF_PROG_LOAD, &attributes);
  return rc;
}

int bpf_id(int program, uint32_t *id) {
  struct bpf_prog_info info = {0};
  union bpf_attr attributes = {
      .info = {.bpf_fd = (uint32_t)program, .info_len = sizeof(info), .info = pointer(&info)}};
  int rc = call(BPF_OBJ_GET_INFO_BY_FD, &attributes);
  *id = info.id;
  return rc;
}

uint32_t bpf_in_front(int index, bool out) {
  union bpf_attr attributes = {
      .query = {.target_fd = (uint32_t)index, .attach_type = out ? TCX_EGRESS : TCX_INGRESS}};
  return call(BPF_PROG_QUERY, &attributes) < 0 ? 0 : attributes.query.prog_cnt;
}

int bpf_run(int program, const void *frame, uint32_t size, uint32_t times, uint32_t *verdict, uint32_t *ns) {
  union bpf_attr attributes = {
      .test = {
          .prog_fd = (uint32_t)program, .data_in = pointer(frame), .data_size_in = size, .repeat = times}};
  int rc = call(BPF_PROG_TEST_RUN, &attributes);
  *verdict = attributes.test.retval;
  *ns = attributes.test.duration;
  return rc;
}
