// SPDX-License-Identifier: Apache-2.0
// init: from a few words to the one configuration and the three keys.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ctl.h"
#include "common/base/key.h"

#define KEYS_DIRECTORY CTL_CONF_DIRECTORY "/keys"
#define WORD_MAX 256
#define FILE_MAX 8192

struct answers {
  const char *cluster, *node[NODES], *witness; // NAME=ADDRESS[,ADDRESS]
  const char *virtual_ip, *interface;
  const char *driver, *broker[NODES]; // where each node's broker is reached by the other one
  const char *output, *keys;
};

struct voter_words {
  char name[CLUSTER_NAME_MAX + 1];
  char addresses[WORD_MAX]; // as the configuration has them: "…", "…"
  char key[KEY_TEXT_SIZE];
};

// ---- asking ----

/* Where a word is missing a person is asked; a script is told. `kept` holds the answer. */
static int ask(const struct ctl *ctl, const char **value, const char *flag, const char *question,
               const char *otherwise, char kept[WORD_MAX]) {
  if (*value != NULL)
    return CTL_DONE;
  if (!isatty(fileno(ctl->in))) {
    *value = otherwise;
    return otherwise != NULL ? CTL_DONE : ctl_usage(ctl, "init", "%s is missing: %s", flag, question);
  }
  fprintf(ctl->err, "%s%s%s%s: ", question, otherwise != NULL && *otherwise ? " [" : "",
          otherwise != NULL ? otherwise : "", otherwise != NULL && *otherwise ? "]" : "");
  fflush(ctl->err);
  if (fgets(kept, WORD_MAX, ctl->in) == NULL)
    return ctl_fail(ctl, CTL_FAILED, "nothing done: no answer");
  kept[strcspn(kept, "\r\n")] = 0;
  *value = kept[0] != 0 ? kept : otherwise;
  return *value != NULL ? CTL_DONE : ctl_usage(ctl, "init", "%s is missing: %s", flag, question);
}

static int ask_all(const struct ctl *ctl, struct answers *a, char kept[10][WORD_MAX]) {
  struct {
    const char **value, *flag, *question, *otherwise;
  } all[] = {
      {&a->cluster, "--cluster", "The cluster's name, as in orders", NULL},
      {&a->node[0], "--node-a", "The first node, NAME=ADDRESS:PORT, as in a=10.0.0.1:7400", NULL},
      {&a->node[1], "--node-b", "The second node, as in b=10.0.0.2:7400", NULL},
      {&a->witness, "--witness", "The witness, as in w=10.0.9.9:7400", NULL},
      {&a->virtual_ip, "--virtual-ip", "The virtual IP, ADDRESS/PREFIX, as in 10.0.0.100/24; - for none",
       "-"},
      {&a->interface, "--interface", "The network interface that it belongs on", "eth0"},
      {&a->driver, "--driver", "The broker's driver: none or redis", "none"},
      {&a->broker[0], "--broker-a",
       "How the second node reaches the first one's broker, ADDRESS:PORT; - for none", "-"},
      {&a->broker[1], "--broker-b", "How the first node reaches the second one's broker", "-"},
  };
  int code = CTL_DONE;
  for (size_t i = 0; i < sizeof all / sizeof all[0] && code == CTL_DONE; i++)
    code = ask(ctl, all[i].value, all[i].flag, all[i].question, all[i].otherwise, kept[i]);
  return code;
}

// ---- writing ----

/* NAME=ADDRESS[,ADDRESS] */
static bool take_voter(const char *word, struct voter_words *v) {
  const char *at = strchr(word, '=');
  if (at == NULL || (size_t)(at - word) >= sizeof v->name || strpbrk(word, "\"\\\n") != NULL)
    return false;
  snprintf(v->name, sizeof v->name, "%.*s", (int)(at - word), word);
  size_t used = 0;
  for (const char *from = at + 1; from != NULL && used < sizeof v->addresses;) {
    size_t length = strcspn(from, ",");
    used += (size_t)snprintf(v->addresses + used, sizeof v->addresses - used, "%s\"%.*s\"", used ? ", " : "",
                             (int)length, from);
    from = from[length] == ',' ? from + length + 1 : NULL;
  }
  return cluster_is_name(v->name) && used < sizeof v->addresses;
}

static int take_voters(const struct ctl *ctl, const struct answers *a, struct voter_words voter[VOTERS]) {
  const char *const words[VOTERS] = {a->node[0], a->node[1], a->witness};
  for (unsigned i = 0; i < VOTERS; i++)
    if (!take_voter(words[i], &voter[i]))
      return ctl_usage(ctl, "init", "\"%s\" is no voter; allowed: NAME=ADDRESS:PORT, as in a=10.0.0.1:7400",
                       words[i]);
  return CTL_DONE;
}

static bool given(const char *word) {
  return strcmp(word, "-") != 0;
}

static void compose(FILE *f, const struct answers *a, const struct voter_words voter[VOTERS]) {
  fprintf(f,
          "# Made by tanist init. The same file belongs on all three machines; every key: tanist.conf(5).\n"
          "cluster = \"%s\";\n\nnodes = (\n",
          a->cluster);
  for (unsigned i = 0; i < NODES; i++)
    fprintf(f, "  { name = \"%s\"; addresses = [ %s ];\n    public_key = \"%s\"; }%s\n", voter[i].name,
            voter[i].addresses, voter[i].key, i + 1 < NODES ? "," : "");
  fprintf(f, ");\nwitness = { name = \"%s\"; addresses = [ %s ];\n  public_key = \"%s\"; };\n\n",
          voter[VOTER_W].name, voter[VOTER_W].addresses, voter[VOTER_W].key);
  if (given(a->virtual_ip))
    fprintf(f, "virtual_ip = ( { address = \"%s\"; interface = \"%s\"; } );\n", a->virtual_ip, a->interface);
  fprintf(f, "broker = {\n  driver = \"%s\";\n", a->driver);
  if (given(a->broker[0]) && given(a->broker[1])) {
    const char *port = strrchr(a->broker[0], ':');
    fprintf(f, "  address = \"127.0.0.1%s\";\n  peers = { %s = \"%s\"; %s = \"%s\"; };\n",
            port != NULL ? port : "", voter[0].name, a->broker[0], voter[1].name, a->broker[1]);
  }
  fprintf(f, "};\n");
  if (strcmp(a->keys, KEYS_DIRECTORY) != 0)
    fprintf(f, "keys_directory = \"%s\";\n", a->keys);
}

/* Never over a file that is there. */
static int write_new(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0)
    return -errno;
  size_t size = strlen(text);
  ssize_t done = write(fd, text, size);
  int rc = done == (ssize_t)size && fsync(fd) == 0 ? 0 : done < 0 ? -errno : -EIO;
  close(fd);
  if (rc != 0)
    unlink(path);
  return rc;
}

// ---- doing ----

static const char *key_path(const struct answers *a, const char *voter, char *buf, size_t size) {
  snprintf(buf, size, "%s/%s.%.*s.key", a->keys, a->cluster, CLUSTER_NAME_MAX, voter);
  return buf;
}

static void forget_keys(const struct answers *a, const struct voter_words voter[VOTERS], unsigned count) {
  char path[2 * WORD_MAX];
  for (unsigned i = 0; i < count; i++)
    unlink(key_path(a, voter[i].name, path, sizeof path));
}

static int make_keys(const struct ctl *ctl, const struct answers *a, struct voter_words voter[VOTERS]) {
  char path[2 * WORD_MAX], error[CONF_ERROR_MAX];
  (void)mkdir(a->keys, 0755); /* if it fails, so does the file, which says why */
  for (unsigned i = 0; i < VOTERS; i++) {
    struct key key;
    int rc = key_generate(key_path(a, voter[i].name, path, sizeof path), &key, error, sizeof error);
    if (rc != 0) {
      forget_keys(a, voter, i);
      return ctl_fail(ctl, rc == -EEXIST ? CTL_REFUSED : CTL_FAILED, "%s", error);
    }
    key_format(key.public_key, voter[i].key);
    key_wipe(&key);
  }
  return CTL_DONE;
}

/* What was written is read as an agent would: a mistake in the words is told with its place. */
static int check_written(const struct ctl *ctl, const struct answers *a) {
  struct ctl at = *ctl;
  struct cluster_conf conf;
  at.conf_file = a->output;
  int code = ctl_load(&at, &conf);
  if (code == CTL_DONE)
    cluster_free(&conf);
  return code;
}

static int write_all(const struct ctl *ctl, const struct answers *a, struct voter_words voter[VOTERS]) {
  char text[FILE_MAX] = "";
  if (access(a->output, F_OK) == 0)
    return ctl_fail(ctl, CTL_REFUSED, "%s is there already, and is not overwritten", a->output);
  int code = make_keys(ctl, a, voter);
  if (code != CTL_DONE)
    return code;
  FILE *f = fmemopen(text, sizeof text, "w");
  if (f != NULL) {
    compose(f, a, voter);
    fclose(f);
  }
  int rc = f != NULL ? write_new(a->output, text) : -ENOMEM;
  if (rc != 0)
    code = ctl_fail(ctl, rc == -EEXIST ? CTL_REFUSED : CTL_FAILED, "%s: %s", a->output, strerror(-rc));
  else if ((code = check_written(ctl, a)) != CTL_DONE)
    unlink(a->output);
  if (code != CTL_DONE)
    forget_keys(a, voter, VOTERS);
  return code;
}

static void tell(const struct ctl *ctl, const struct answers *a, const struct voter_words voter[VOTERS]) {
  if (ctl->json) {
    ctl_print_text(ctl, "configuration", a->output);
    return;
  }
  fprintf(ctl->out, "%s and three keys in %s are written. Next:\n", a->output, a->keys);
  for (unsigned i = 0; i < VOTERS; i++)
    fprintf(ctl->out, "  to %s: %s, and %s/%s.%s.key (mode 0600); then start %s\n", voter[i].name, a->output,
            a->keys, a->cluster, voter[i].name, i == VOTER_W ? "tanist-witness" : "tanist-agent");
  fputs("Remove the keys of the other two from each machine: whoever has a key is that voter.\n", ctl->out);
}

int ctl_init(struct ctl *ctl, int argc, char **argv) {
  struct answers a = {.keys = KEYS_DIRECTORY};
  struct voter_words voter[VOTERS] = {0};
  char kept[10][WORD_MAX], output[2 * WORD_MAX];
  const struct ctl_option options[] = {
      {"--cluster", &a.cluster, NULL},       {"--node-a", &a.node[0], NULL},
      {"--node-b", &a.node[1], NULL},        {"--witness", &a.witness, NULL},
      {"--virtual-ip", &a.virtual_ip, NULL}, {"--interface", &a.interface, NULL},
      {"--driver", &a.driver, NULL},         {"--broker-a", &a.broker[0], NULL},
      {"--broker-b", &a.broker[1], NULL},    {"--output", &a.output, NULL},
      {"--keys-directory", &a.keys, NULL},   {NULL, NULL, NULL}};
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code == CTL_DONE)
    code = ask_all(ctl, &a, kept);
  if (code != CTL_DONE)
    return code;
  if (!cluster_is_name(a.cluster))
    return ctl_usage(ctl, argv[0],
                     "\"%s\" is no name; allowed: 1 to %d letters, digits, \"-\" and \"_\", a letter first",
                     a.cluster, CLUSTER_NAME_MAX);
  if (a.output == NULL) {
    snprintf(output, sizeof output, CTL_CONF_DIRECTORY "/%s.conf", a.cluster);
    a.output = output;
  }
  code = take_voters(ctl, &a, voter);
  if (code == CTL_DONE)
    code = write_all(ctl, &a, voter);
  if (code == CTL_DONE)
    tell(ctl, &a, voter);
  return code;
}
