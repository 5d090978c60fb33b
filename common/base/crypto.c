// SPDX-License-Identifier: Apache-2.0
#include "common/base/crypto.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#define NONCE_SIZE 12

struct crypto {
  EVP_CIPHER_CTX *seal, *open; // AES-256-GCM, for one direction each: only the key and the nonce change
  EVP_KDF_CTX *derive;
};

/* No configuration file, error texts or names of ciphers: none is used here, and they would be most of an agent's
 * memory. The names of digests stay: what is left out once cannot be had again in this process, and without them
 * TLS (agent/tls.c, libpq) takes every certificate's signature for too weak. */
static bool library_init(void) {
  uint64_t options = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
                     OPENSSL_INIT_NO_ADD_ALL_CIPHERS;
  return OPENSSL_init_crypto(options, NULL) == 1;
}

static EVP_KDF_CTX *derive_new(void) {
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
  EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
  EVP_KDF_free(kdf);
  return context;
}

struct crypto *crypto_new(void) {
  struct crypto *crypto = library_init() ? calloc(1, sizeof *crypto) : NULL;
  if (crypto == NULL)
    return NULL;
  EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
  crypto->seal = EVP_CIPHER_CTX_new();
  crypto->open = EVP_CIPHER_CTX_new();
  crypto->derive = derive_new();
  bool ready = cipher != NULL && crypto->seal != NULL && crypto->open != NULL && crypto->derive != NULL &&
               EVP_EncryptInit_ex2(crypto->seal, cipher, NULL, NULL, NULL) == 1 &&
               EVP_DecryptInit_ex2(crypto->open, cipher, NULL, NULL, NULL) == 1;
  EVP_CIPHER_free(cipher); // the contexts keep it
  if (ready)
    return crypto;
  crypto_free(crypto);
  return NULL;
}

void crypto_free(struct crypto *crypto) {
  if (crypto == NULL)
    return;
  EVP_CIPHER_CTX_free(crypto->seal);
  EVP_CIPHER_CTX_free(crypto->open);
  EVP_KDF_CTX_free(crypto->derive);
  free(crypto);
}

static void make_nonce(uint64_t seq, unsigned char nonce[NONCE_SIZE]) {
  memset(nonce, 0, NONCE_SIZE);
  for (unsigned i = NONCE_SIZE; seq != 0; seq >>= 8)
    nonce[--i] = (unsigned char)(seq & 0xff);
}

bool crypto_seal(struct crypto *crypto, const unsigned char key[CRYPTO_KEY_SIZE], uint64_t seq,
                 const unsigned char *header, size_t header_size, const unsigned char *plain, size_t size,
                 unsigned char *out) {
  assert(header_size <= INT_MAX && size <= INT_MAX);
  unsigned char nonce[NONCE_SIZE];
  make_nonce(seq, nonce);
  int done = 0;
  bool ok = EVP_EncryptInit_ex2(crypto->seal, NULL, key, nonce, NULL) == 1 &&
            EVP_EncryptUpdate(crypto->seal, NULL, &done, header, (int)header_size) == 1 &&
            EVP_EncryptUpdate(crypto->seal, out, &done, plain, (int)size) == 1 && (size_t)done == size &&
            EVP_EncryptFinal_ex(crypto->seal, out + size, &done) == 1 &&
            EVP_CIPHER_CTX_ctrl(crypto->seal, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG_SIZE, out + size) == 1;
  if (!ok)
    ERR_clear_error();
  return ok;
}

bool crypto_open(struct crypto *crypto, const unsigned char key[CRYPTO_KEY_SIZE], uint64_t seq,
                 const unsigned char *header, size_t header_size, const unsigned char *sealed, size_t size,
                 unsigned char *plain) {
  assert(header_size <= INT_MAX && size <= INT_MAX && size >= CRYPTO_TAG_SIZE);
  unsigned char nonce[NONCE_SIZE], tag[CRYPTO_TAG_SIZE];
  size -= CRYPTO_TAG_SIZE;
  make_nonce(seq, nonce);
  memcpy(tag, sealed + size, sizeof tag);
  int done = 0;
  bool ok = EVP_DecryptInit_ex2(crypto->open, NULL, key, nonce, NULL) == 1 &&
            EVP_DecryptUpdate(crypto->open, NULL, &done, header, (int)header_size) == 1 &&
            EVP_DecryptUpdate(crypto->open, plain, &done, sealed, (int)size) == 1 && (size_t)done == size &&
            EVP_CIPHER_CTX_ctrl(crypto->open, EVP_CTRL_AEAD_SET_TAG, CRYPTO_TAG_SIZE, tag) == 1 &&
            EVP_DecryptFinal_ex(crypto->open, plain + size, &done) == 1;
  if (!ok) {
    ERR_clear_error();
    memset(plain, 0, size); // nothing unauthenticated leaves this file
  }
  return ok;
}

/* OpenSSL takes parameters through pointers that it does not write through, but which are not const. */
static OSSL_PARAM octets(const char *name, const unsigned char *bytes, size_t size) {
  return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)bytes, size);
}

bool crypto_derive(struct crypto *crypto, const unsigned char secret[CRYPTO_KEY_SIZE],
                   const unsigned char *salt, size_t salt_size, const unsigned char *info, size_t info_size,
                   unsigned char key[CRYPTO_KEY_SIZE]) {
  char digest[] = "SHA256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, secret, CRYPTO_KEY_SIZE),
      octets(OSSL_KDF_PARAM_SALT, salt, salt_size),
      octets(OSSL_KDF_PARAM_INFO, info, info_size),
      OSSL_PARAM_construct_end(),
  };
  EVP_KDF_CTX_reset(crypto->derive); // or the info of the derivation before would be added to
  bool ok = EVP_KDF_derive(crypto->derive, key, CRYPTO_KEY_SIZE, params) == 1;
  if (!ok)
    ERR_clear_error();
  return ok;
}

static int derive_secret(EVP_PKEY_CTX *context, EVP_PKEY *peer, unsigned char secret[CRYPTO_KEY_SIZE]) {
  if (context == NULL || peer == NULL || EVP_PKEY_derive_init(context) != 1 ||
      EVP_PKEY_derive_set_peer_ex(context, peer, 0) != 1)
    return -EIO;
  static const unsigned char zero[CRYPTO_KEY_SIZE];
  size_t size = CRYPTO_KEY_SIZE;
  bool ok = EVP_PKEY_derive(context, secret, &size) == 1 && size == CRYPTO_KEY_SIZE;
  return ok && CRYPTO_memcmp(secret, zero, sizeof zero) != 0 ? 0 : -EINVAL;
}

int crypto_agree(const unsigned char private_key[CRYPTO_KEY_SIZE],
                 const unsigned char public_key[CRYPTO_KEY_SIZE], unsigned char secret[CRYPTO_KEY_SIZE]) {
  if (!library_init())
    return -EIO;
  EVP_PKEY *own = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, private_key, CRYPTO_KEY_SIZE);
  EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, public_key, CRYPTO_KEY_SIZE);
  EVP_PKEY_CTX *context = own != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL) : NULL;
  int rc = derive_secret(context, peer, secret);
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(peer);
  EVP_PKEY_free(own);
  ERR_clear_error();
  return rc;
}

int crypto_public(const unsigned char private_key[CRYPTO_KEY_SIZE],
                  unsigned char public_key[CRYPTO_KEY_SIZE]) {
  if (!library_init())
    return -EIO;
  EVP_PKEY *own = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, private_key, CRYPTO_KEY_SIZE);
  size_t size = CRYPTO_KEY_SIZE;
  bool ok =
      own != NULL && EVP_PKEY_get_raw_public_key(own, public_key, &size) == 1 && size == CRYPTO_KEY_SIZE;
  EVP_PKEY_free(own);
  ERR_clear_error();
  return ok ? 0 : -EIO;
}

void crypto_hash(const void *bytes, size_t size, unsigned char out[CRYPTO_HASH_SIZE]) {
  SHA256(bytes, size, out);
}

void crypto_random(void *bytes, size_t size) {
  unsigned char *at = bytes;
  while (size > 0) {
    ssize_t got = getrandom(at, size, 0);
    assert(got > 0 || errno == EINTR); // it cannot fail otherwise, and there is nothing to fall back to
    if (got > 0) {
      at += got;
      size -= (size_t)got;
    }
  }
}

void crypto_wipe(void *bytes, size_t size) {
  OPENSSL_cleanse(bytes, size);
}
