// SPDX-License-Identifier: Apache-2.0
// A configuration file: refused with a place in it, or read; and what was read has one canonical text.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cluster.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the text of a string when the line that it stands in is refused. */
const char *__lsan_default_suppressions(void) {
  return "leak:libconfig";
}

static void refused(const struct conf_errors *errors, const char *file) {
  assert(errors->count > 0 && errors->count <= CONF_ERRORS_MAX);
  for (size_t i = 0; i < errors->count; i++) {
    const char *text = errors->at[i].text;
    assert(memchr(text, 0, sizeof errors->at[i].text) != NULL && strchr(text, '\n') == NULL);
    assert(strncmp(text, file, strlen(file)) == 0 && strchr(" :", text[strlen(file)]) != NULL);
    assert(i == 0 || errors->at[i - 1].line <= errors->at[i].line);
  }
}

static void accepted(struct cluster_conf *conf) {
  static char text[CLUSTER_CANONICAL_MAX];
  struct budget budget = cluster_budget(conf);
  assert(budget_fits(&budget) && conf->node_count == NODES);
  assert(cluster_canonical(conf, text, sizeof text) < sizeof text);
  for (unsigned i = 0; i < VOTERS; i++)
    assert(cluster_is_name(conf->voter[i].name) && conf->voter[i].address_count > 0 &&
           (unsigned)cluster_voter_find(conf, conf->voter[i].name) == i);
  assert(conf->dead_when >= 1 && (size_t)conf->dead_when <= (conf->check_count > 0 ? conf->check_count : 1));
  cluster_free(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static struct conf_errors errors;
  struct cluster_conf conf;
  memset(&conf, 0xa5, sizeof conf);
  memset(&errors, 0, sizeof errors);
  const char *file = input_file("tanist.conf", bytes, size);
  if (cluster_load(&conf, file, &errors) == 0)
    accepted(&conf);
  else
    refused(&errors, file);
  return 0;
}
