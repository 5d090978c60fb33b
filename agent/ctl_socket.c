// SPDX-License-Identifier: Apache-2.0
// Which daemon to ask, and the asking.
#include "agent/ctl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/control.h"
#include "common/base/text.h"

// Of a configuration: the node's agent whose socket is here (on a trial machine both may be, then the one
// that this machine is), else the witness's.
static int socket_of_cluster(const struct ctl *ctl, const struct cluster_conf *c, char *path, size_t size) {
  char error[CONF_ERROR_MAX], other[CTL_PATH_MAX];
  bool a = access(cluster_socket_path(c, VOTER_A, path, size), F_OK) == 0;
  bool b = access(cluster_socket_path(c, VOTER_B, other, sizeof other), F_OK) == 0;
  int self = a == b ? cluster_self(c, NULL, error, sizeof error) : a ? VOTER_A : VOTER_B;
  if (a && b && self < 0)
    return ctl_fail(ctl, CTL_USAGE, "both agents of cluster \"%s\" run here: say -s %s or -s %s", c->name,
                    path, other);
  snprintf(other, sizeof other, "%s/witness.sock", c->run_directory);
  if (!a && !b && access(other, F_OK) == 0)
    snprintf(path, size, "%s", other);
  else if (!a && !b)
    return ctl_fail(ctl, CTL_NO_AGENT,
                    "no agent of cluster \"%s\" runs here (there is no %s/%s.*.sock): start it, or name its "
                    "socket with -s",
                    c->name, c->run_directory, c->name);
  else
    cluster_socket_path(c, (unsigned)self, path, size);
  return CTL_DONE;
}

static int find_socket(const struct ctl *ctl, char *path, size_t size) {
  char error[CONF_ERROR_MAX];
  struct cluster_conf cluster;
  if (ctl->socket) {
    snprintf(path, size, "%s", ctl->socket);
    return CTL_DONE;
  }
  if (ctl->conf_file) {
    int code = ctl_load(ctl, &cluster);
    if (code != CTL_DONE)
      return code;
    code = socket_of_cluster(ctl, &cluster, path, size);
    cluster_free(&cluster);
    return code;
  }
  if (ctl_only_file(CTL_RUN_DIRECTORY, ".sock", path, size, error, sizeof error) == CTL_DONE)
    return CTL_DONE;
  if (*path)
    return ctl_fail(ctl, CTL_USAGE, "which cluster? Say -c FILE or -s SOCKET: %s", error);
  return ctl_fail(ctl, CTL_NO_AGENT,
                  "no agent runs here (%s): start it, or name it with -c FILE or -s SOCKET", error);
}

static int unreachable(const struct ctl *ctl, const char *path, int result) {
  switch (-result) {
  case ENOENT:
  case ENOTDIR:
  case ECONNREFUSED:
    return ctl_fail(ctl, CTL_NO_AGENT,
                    "no agent answers at %s: start it, or name another one with -c FILE or -s SOCKET", path);
  case ETIMEDOUT:
    return ctl_fail(ctl, CTL_NO_AGENT,
                    "the agent at %s did not answer in time: is it stopped? What was ordered may still "
                    "happen: see tanist status",
                    path);
  case ECONNRESET:
    return ctl_fail(ctl, CTL_NO_AGENT,
                    "the agent at %s went away without an answer: what was ordered may have happened, see "
                    "tanist status",
                    path);
  case EACCES:
    return ctl_fail(ctl, CTL_FAILED, "%s is not for you: be root, or in the group that owns it", path);
  case EPROTO:
    return ctl_fail(ctl, CTL_FAILED, "what answers at %s is no agent of this version", path);
  default:
    return ctl_fail(ctl, CTL_FAILED, "%s: %s", path, strerror(-result));
  }
}

// The agent's refusal, with its code where that is one of ours.
static int refused(const struct ctl *ctl, const struct json *reply) {
  char text[CONF_ERROR_MAX];
  int64_t code = json_get_int(reply, "code", CTL_FAILED);
  snprintf(text, sizeof text, "%s", json_get_text(reply, "error", "the agent refused, without a reason"));
  text_clean(text, strlen(text));
  return ctl_fail(ctl, code == CTL_USAGE || code == CTL_REFUSED ? (enum ctl_exit)code : CTL_FAILED, "%s",
                  text);
}

int ctl_ask(const struct ctl *ctl, struct json *request, int timeout_ms, struct json **reply) {
  char path[CTL_PATH_MAX];
  int code = find_socket(ctl, path, sizeof path);
  if (code == CTL_DONE) {
    int result = control_call(path, request, timeout_ms, reply);
    if (result < 0) {
      code = unreachable(ctl, path, result);
    } else if (!json_get_bool(*reply, "ok", false)) {
      code = refused(ctl, *reply);
      json_free(*reply);
    }
  }
  json_free(request);
  return code;
}
