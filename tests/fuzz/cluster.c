// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/key.h"
#include "tests/fuzz/input.h"

static void make_key(const char *voter, char text[KEY_TEXT_SIZE]) {
  char path[128], error[256];
  struct key key;
  snprintf(path, sizeof path, "%s/orders.%s.key", input_directory(), voter);
  if (key_generate(path, &key, error, sizeof error) != 0)
    abort();
  key_format(key.public_key, text);
}

const char *fuzz_cluster_file(void) {
  static char path[128], text[2048];
  static const char *const names[VOTERS] = {"a", "b", "w"};
  char key[VOTERS][KEY_TEXT_SIZE], voter[VOTERS][256];
  unsigned host = (unsigned)getpid() & 0xffff; /* an address of this process: several may run at once */
  if (path[0] != 0)
    return path;
  for (unsigned i = 0; i < VOTERS; i++) {
    make_key(names[i], key[i]);
    snprintf(voter[i], sizeof voter[i],
             "{ name = \"%s\"; addresses = [ \"127.%u.%u.%u:7400\" ]; public_key = \"%s\"; }", names[i],
             10 + i, host >> 8, host & 0xff, key[i]);
  }
  int length =
      snprintf(text, sizeof text,
               "cluster = \"orders\";\nnodes = ( %s, %s );\nwitness = %s;\n"
               "broker = { driver = \"none\"; replication = \"none\"; };\nfence = { kernel = \"off\"; };\n"
               "http = { listen = \"127.10.%u.%u:7480\"; };\n"
               "keys_directory = \"%s\";\nstate_directory = \"%s\";\nrun_directory = \"%s\";\n",
               voter[0], voter[1], voter[2], host >> 8, host & 0xff, input_directory(), input_directory(), input_directory());
  snprintf(path, sizeof path, "%s", input_file("orders.conf", text, (size_t)length));
  return path;
}

const struct cluster_conf *fuzz_cluster(void) {
  static struct cluster_conf conf;
  static struct conf_errors errors;
  if (conf.name == NULL && cluster_load(&conf, fuzz_cluster_file(), &errors) != 0) {
    cluster_print_errors(stderr, &errors);
    abort();
  }
  return &conf;
}
