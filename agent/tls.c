// SPDX-License-Identifier: Apache-2.0
#include "agent/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls {
  SSL_CTX *context;
  SSL *ssl;
};

static bool given(const char *text) {
  return text && text[0] != '\0';
}

bool tls_is_on(const struct tls_settings *settings) {
  return given(settings->ca_file);
}

// The reason alone: OpenSSL's own lines name its files and functions. The first one is the cause of the rest.
static const char *reason(void) {
  unsigned long error = ERR_peek_error();
  if (ERR_SYSTEM_ERROR(error))
    return strerror(ERR_GET_REASON(error));
  const char *text = error ? ERR_reason_error_string(error) : NULL;
  return text ? text : "the connection was closed";
}

static bool bad(char trouble[static TLS_TROUBLE_MAX], const char *key, const char *file) {
  snprintf(trouble, TLS_TROUBLE_MAX, "broker.tls.%s %.60s: %.40s", key, file, reason());
  return false;
}

// OpenSSL's own way asks the terminal, and waits for it. A key with a passphrase is refused instead.
static int no_passphrase(char *text, int size, int writing, void *arg) {
  (void)text, (void)size, (void)writing, (void)arg;
  return -1;
}

static bool read_files(SSL_CTX *context, const struct tls_settings *s, char trouble[static TLS_TROUBLE_MAX]) {
  if (SSL_CTX_load_verify_locations(context, s->ca_file, NULL) != 1)
    return bad(trouble, "ca_file", s->ca_file);
  if (given(s->certificate_file) && SSL_CTX_use_certificate_chain_file(context, s->certificate_file) != 1)
    return bad(trouble, "certificate_file", s->certificate_file);
  if (given(s->key_file) && SSL_CTX_use_PrivateKey_file(context, s->key_file, SSL_FILETYPE_PEM) != 1)
    return bad(trouble, "key_file", s->key_file);
  if (given(s->key_file) && SSL_CTX_check_private_key(context) != 1)
    return bad(trouble, "key_file", s->key_file);
  return true;
}

static bool prepare(struct tls *tls, const struct tls_settings *s, int fd, char trouble[static TLS_TROUBLE_MAX]) {
  snprintf(trouble, TLS_TROUBLE_MAX, "TLS: out of memory");
  tls->context = SSL_CTX_new(TLS_client_method());
  if (!tls->context || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1)
    return false;
  SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_default_passwd_cb(tls->context, no_passphrase);
  // What could not be sent is sent again from where it has been moved to meanwhile.
  SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (!read_files(tls->context, s, trouble))
    return false;
  tls->ssl = SSL_new(tls->context);
  if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1)
    return false;
  SSL_set_connect_state(tls->ssl);
  return !given(s->server_name) || (SSL_set_tlsext_host_name(tls->ssl, s->server_name) == 1 && SSL_set1_host(tls->ssl, s->server_name) == 1);
}

struct tls *tls_open(const struct tls_settings *settings, int fd, char trouble[static TLS_TROUBLE_MAX]) {
  struct tls *tls = calloc(1, sizeof(*tls));
  ERR_clear_error();
  if (tls && prepare(tls, settings, fd, trouble))
    return tls;
  tls_close(tls);
  return NULL;
}

void tls_close(struct tls *tls) {
  if (!tls)
    return;
  SSL_free(tls->ssl);
  SSL_CTX_free(tls->context);
  free(tls);
}

static void refused(const struct tls *tls, char trouble[static TLS_TROUBLE_MAX]) {
  long verdict = SSL_get_verify_result(tls->ssl);
  if (verdict != X509_V_OK)
    snprintf(trouble, TLS_TROUBLE_MAX, "its certificate is refused (%.48s): see broker.tls.ca_file and server_name",
             X509_verify_cert_error_string(verdict));
  else
    snprintf(trouble, TLS_TROUBLE_MAX, "no TLS there (%.40s): is it Redis' tls-port? see its log", reason());
}

int tls_handshake(struct tls *tls, bool *wants_write, char trouble[static TLS_TROUBLE_MAX]) {
  ERR_clear_error();
  int rc = SSL_do_handshake(tls->ssl);
  int error = SSL_get_error(tls->ssl, rc);
  *wants_write = error == SSL_ERROR_WANT_WRITE;
  if (rc == 1)
    return 1;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
    return 0;
  refused(tls, trouble);
  return -1;
}

static ssize_t result(const struct tls *tls, int rc) {
  if (rc > 0)
    return rc;
  int error = SSL_get_error(tls->ssl, rc);
  if (error == SSL_ERROR_ZERO_RETURN)
    return 0;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
    errno = EAGAIN;
  else if (error != SSL_ERROR_SYSCALL || errno == 0) // the other side has ended without saying so
    errno = ECONNRESET;
  return -1;
}

ssize_t tls_send(struct tls *tls, const void *bytes, size_t size) {
  ERR_clear_error();
  errno = 0;
  return result(tls, SSL_write(tls->ssl, bytes, (int)size));
}

ssize_t tls_receive(struct tls *tls, void *bytes, size_t room) {
  ERR_clear_error();
  errno = 0;
  return result(tls, SSL_read(tls->ssl, bytes, (int)room));
}

bool tls_has_more(const struct tls *tls) {
  return SSL_pending(tls->ssl) > 0;
}
