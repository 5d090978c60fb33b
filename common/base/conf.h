// SPDX-License-Identifier: Apache-2.0
// A configuration file, read by one table of keys: the table reads, checks, prints and documents it.
//
// conf.c alone knows libconfig. Whatever a file holds, it is read whole or refused with errors of the form
// `FILE:LINE: what is wrong; what is allowed`.
#ifndef TANIST_BASE_CONF_H
#define TANIST_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONF_FILE_MAX (256 * 1024) // bytes; three machines with sixteen of everything need a tenth of it
#define CONF_ERRORS_MAX 16         // more help nobody; the rest is counted
#define CONF_ERROR_MAX 768
#define CONF_PATH_MAX 160
#define CONF_ITEMS_MAX 16 // of an array of texts or numbers, or of a map

// What a key holds, how the file writes it, and what is stored at its place in the object.
enum conf_type {
  CONF_GROUP, // { … }             nothing: its keys have places of their own
  CONF_LIST,  // ( { … }, { … } )  an array of elements, and their number as size_t
  CONF_TEXT,  // "…"               const char *
  CONF_WORD, // "…" of `words`    int: index in `words`; CONF_UNSET where the default derives from other keys
  CONF_U32,  // 10                uint32_t
  CONF_U64,  // 10, 10L           uint64_t
  CONF_REAL,        // 1, 1.5            double
  CONF_BOOL,        // true, false       bool
  CONF_TEXTS,       // [ "…" ] or ( "…" )  struct conf_texts
  CONF_NUMBERS,     // [ 1 ] or ( 1 )    struct conf_numbers
  CONF_MAP,         // { any = "…"; }    struct conf_map
  CONF_WORD_OR_U32, // "…" or 10         int64_t: the number, or for a word -1 - its index
};

#define CONF_UNSET (-1)

struct conf_texts {
  size_t count;
  const char *at[CONF_ITEMS_MAX];
};

struct conf_numbers {
  size_t count;
  uint32_t at[CONF_ITEMS_MAX];
};

struct conf_map {
  size_t count;
  struct {
    const char *key, *value;
  } at[CONF_ITEMS_MAX];
};

// One row of the table. A row stands behind the row of the group or list it belongs to.
struct conf_key {
  const char *path; // "timing.lease_ms"; of a list's elements "nodes[].name". Lists do not nest
  enum conf_type type;
  const char *fallback;  // the default as plain text ("1000", "none", "" for nothing); NULL: must be given
  const char *otherwise; // how the default derives from other keys, for people; the reader's user derives it
  double min, max; // of a number; of a text its length; of several their count, or (NUMBERS) each one's range
  const char *words;              // "warn|refuse"
  bool (*fits)(const char *text); // a text's form, beyond its length; NULL: any
  const char *allowed;            // that form in words
  const char
      *later; // not built yet, refused when used: "*" all but the default, or some of the words "bpf|netlink"
  bool reload;     // may change while the daemon runs (SIGHUP); of a list: with all its elements
  bool local;      // may differ from machine to machine: no part of the canonical print
  size_t at;       // offset in the object; of a key of a list's elements: in the element
  size_t count_at; // LIST: offset of the count in the object
  size_t stride;   // LIST: size of an element; `max` of them have room
  const char *help;
  const char *example; // its text in the printed defaults; as a comment, unless it must be given
};

struct conf_table {
  const struct conf_key *at;
  size_t count;
  size_t size;       // of the object
  const char *title; // first lines of the printed defaults, without the "# "
};

struct conf_error {
  unsigned line;
  char text[CONF_ERROR_MAX]; // "FILE:LINE: …", without a line end
};

struct conf_errors {
  size_t count; // of `at`, ordered by line
  size_t more;  // that had no room
  struct conf_error at[CONF_ERRORS_MAX];
};

struct conf; // an open file, for checks across keys and their line numbers

// Reads `file` into `object` (cleared first), defaults where it says nothing. Always gives *conf, unless
// -ENOMEM. 0; -EINVAL when the file is wrong; another negative errno when it cannot be read. With each of the
// last two errors->count > 0.
int conf_read(struct conf **, const struct conf_table *, const char *file, void *object,
              struct conf_errors *);

// Adds an error at the line of `path` ("nodes[1].name"), or of what is nearest above it in the file.
void conf_error(struct conf *, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The memory of all texts in the object, now the caller's to free(). Defaults are constants of the table.
char *conf_keep_texts(struct conf *);
void conf_close(struct conf *); // frees the texts, too, unless they were kept; NULL is allowed

// What may stand at a key, in words: "a whole number from 50 to 60000". Returns buf.
const char *conf_allowed(const struct conf_key *, char *buf, size_t size);

// All keys with default, range and meaning, as a valid configuration with comments. -EIO when writing failed.
int conf_print_defaults(const struct conf_table *, FILE *);
// The same for tanist.conf(5): one mdoc list item a key.
int conf_print_manual(const struct conf_table *, FILE *);

// All values but the local ones, as text in a fixed order: equal texts, equal settings. Returns the length it
// needs without the end mark, as snprintf does.
size_t conf_canonical(const struct conf_table *, const void *object, char *buf, size_t size);

// The paths of all keys, local ones too, in which two objects differ and that are not marked `reload`: "a.b,
// c". Returns their number. Both have been read by this table.
size_t conf_restart_keys(const struct conf_table *, const void *one, const void *other, char *buf,
                         size_t size);

// ---- between conf's own files ----

// What libconfig 1.5 would let pass in silence: a whole number that wraps, an open string or comment that
// swallows the rest of the file, a zero byte, an @include. False with the line and the reason.
bool conf_scan(const char *text, size_t length, unsigned *line, char *why, size_t size);

// Words are kept as "a|b|c". The index of one, -1 if it is not among them; the one at an index, "" if there
// is none.
int conf_word_index(const char *words, const char *word);
const char *conf_word_at(const char *words, int index, char *buf, size_t size);

const char *conf_quote_words(const char *words, char *buf, size_t size); // "\"a\", \"b\""; returns buf

// Puts the default of a value (not of a group or list) at its place; places of several are cleared already.
void conf_store_default(const struct conf_key *, void *to);
bool conf_differs(const struct conf_key *, const void *value); // from its default

// Is `key` directly in the group with this pattern ("", "timing", "nodes[]")? Its own name, or NULL.
const char *conf_name_in(const struct conf_key *, const char *pattern);

// The names of all keys directly in it, "lease_ms, beat_ms"; and is this one of them?
void conf_list_names(const struct conf_table *, const char *pattern, char *buf, size_t size);
bool conf_is_known(const struct conf_table *, const char *pattern, const char *name);

// Adds `FILE:LINE: text`, in the order of lines.
void conf_add_error(struct conf_errors *, const char *file, unsigned line, const char *text);

#endif
