// SPDX-License-Identifier: Apache-2.0
// Key pairs as people and files hold them.
//
// A key file is one line: the raw 32-byte X25519 private key in standard base64 (44 characters), and a
// newline. Mode 0600. The public key is written the same way, in the configuration that all three machines
// share.
#ifndef TANIST_BASE_KEY_H
#define TANIST_BASE_KEY_H

#include <stddef.h>

#define KEY_SIZE 32
#define KEY_TEXT_SIZE 45 // with the NUL

struct key {
  unsigned char private_key[KEY_SIZE];
  unsigned char public_key[KEY_SIZE];
};

// Every function that returns int: 0, or a negative errno with one line in `error` for people: what is wrong,
// with which file, and what mends it.

// Draws a key pair and writes its private half into a new file, synced, owned by the user `tanist` where
// there is one and we may give files away. Never overwrites: -EEXIST.
int key_generate(const char *path, struct key *, char *error, size_t size);

// Refuses a file that is unreadable, no regular file, or open to group or others (-EPERM), and one that holds
// anything but a key (-EBADMSG).
int key_load(const char *path, struct key *, char *error, size_t size);

// A public key in base64. -EINVAL for what is none, and for the points of low order, which make a secret
// known to all.
int key_public_parse(const char *text, unsigned char public_key[KEY_SIZE], char *error, size_t size);
void key_format(const unsigned char key[KEY_SIZE], char text[KEY_TEXT_SIZE]);

void key_wipe(struct key *); // before its memory is given back

#endif
