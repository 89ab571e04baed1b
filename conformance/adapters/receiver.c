/* A plain snapshot receiver in C, and its adapter for the conformance kit: one file, only libc.
 *
 *     cc -O2 -o receiver receiver.c && cargo gate conform --cmd ./receiver
 *
 * One reader of flat JSON stands at the end; everything before it is the receiver. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_MAX (1u << 20)
#define SNAPSHOT_MAX (1ull << 44)
#define TRANSFERS_MAX 16
#define KNOWN_MAX 256

typedef struct {
    char cluster[201];
    uint64_t lsn, total;
    uint32_t crc;
} identity;

/* One database: what runs, and what is remembered of its latest commit. */
typedef struct {
    char id[201];
    int runs, file, owed, committed, repeats;
    identity now, last;
    uint64_t received, final_offset, final_length;
    uint32_t crc;
} database;

typedef struct {
    char id[4096], cluster[4096];
    uint64_t lsn, total, crc, offset, length;
    unsigned char *data;
    int done;
} envelope;

static database known[KNOWN_MAX];
static int known_count, directory = -1;
static char reply[1024];

static uint32_t crc32c(uint32_t crc, const unsigned char *data, size_t length) {
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0x82F63B78u : 0);
            table[i] = c;
        }
    crc = ~crc;
    while (length--) crc = table[(crc ^ *data++) & 255] ^ crc >> 8;
    return ~crc;
}

static int valid_id(const char *id) {
    size_t length = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return length >= 1 && length <= 200 && id[length] == 0 && id[0] != '.';
}

static int running(void) {
    int count = 0;
    for (int i = 0; i < known_count; i++) count += known[i].runs;
    return count;
}

static database *find(const char *id) {
    for (int i = 0; i < known_count; i++)
        if (!strcmp(known[i].id, id)) return &known[i];
    return NULL;
}

/* A place for a database: one that nothing is owed to is forgotten where all are taken. */
static database *place(const char *id) {
    database *at = find(id);
    if (at) return at;
    if (known_count < KNOWN_MAX) {
        at = &known[known_count++];
    } else {
        for (int i = 0; i < KNOWN_MAX && !at; i++)
            if (!known[i].runs && !known[i].owed) at = &known[i];
        if (!at) return NULL;
    }
    memset(at, 0, sizeof *at);
    strcpy(at->id, id);
    at->file = -1;
    return at;
}

static void name_of(const database *of, const char *suffix, char *name) {
    sprintf(name, "%s%s", of->id, suffix);
}

static int rejected(const char *reason, int values, uint64_t expected, uint64_t actual, uint64_t resume) {
    int at = sprintf(reply, "\"reply\":\"rejected\",\"reason\":\"%s\",\"resume_offset\":\"%llu\"", reason,
                     (unsigned long long)resume);
    if (values)
        sprintf(reply + at, ",\"expected\":\"%llu\",\"actual\":\"%llu\"", (unsigned long long)expected,
                (unsigned long long)actual);
    return -1;
}

static int failed(const char *operation, int error) {
    int full = error == ENOSPC || error == EDQUOT;
    sprintf(reply, "\"reply\":\"failed\",\"operation\":\"%s\",\"kind\":\"%s\"", operation, full ? "full" : "other");
    return -1;
}

static int committed(const database *db, uint64_t lsn) {
    sprintf(reply, "\"reply\":\"committed\",\"snapshot_lsn\":\"%llu\",\"path\":\"recv_snapshots/%s.snapshot\"",
            (unsigned long long)lsn, db->id);
    return 0;
}

/* 0, or why the partial is still there; its removal is owed then. */
static int remove_partial(database *db) {
    char name[256];
    name_of(db, ".partial", name);
    db->owed = unlinkat(directory, name, 0) != 0 && errno != ENOENT ? errno : 0;
    return db->owed;
}

static void end(database *db) {
    if (db->file >= 0) close(db->file);
    db->file = -1;
    db->runs = 0;
}

static int fail_attempt(database *db, const char *operation, int error) {
    end(db);
    remove_partial(db);
    return failed(operation, error);
}

static int write_all(database *db, const unsigned char *data, uint64_t length) {
    while (length) {
        ssize_t written = pwrite(db->file, data, length, (off_t)db->received);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : EIO;
        db->crc = crc32c(db->crc, data, (size_t)written);
        db->received += (uint64_t)written;
        data += written;
        length -= (uint64_t)written;
    }
    return 0;
}

static int publish(database *db) {
    char partial[256], snapshot[256];
    struct stat ours, named;
    name_of(db, ".partial", partial);
    name_of(db, ".snapshot", snapshot);
    if (fsync(db->file)) return fail_attempt(db, "sync", errno);
    if (fstat(db->file, &ours) || fstatat(directory, partial, &named, AT_SYMLINK_NOFOLLOW))
        return fail_attempt(db, "publish", errno);
    if (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino) return fail_attempt(db, "publish", ESTALE);
    if (renameat(directory, partial, directory, snapshot)) return fail_attempt(db, "publish", errno);
    if (fsync(directory)) return fail_attempt(db, "sync_directory", errno);
    return 0;
}

static int admitted(database *db, const identity *id, const envelope *e) {
    if (e->offset == 0) {
        char name[256];
        end(db);
        db->now = *id;
        db->received = db->repeats = 0;
        db->crc = 0;
        name_of(db, ".partial", name);
        int error = remove_partial(db);
        if (error) return failed("create", error);
        db->file = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (db->file < 0) return fail_attempt(db, "create", errno);
        db->runs = 1;
    }
    int error = write_all(db, e->data, e->length);
    if (error) return fail_attempt(db, "write", error);
    if (!e->done) {
        sprintf(reply, "\"reply\":\"pending\",\"bytes_done\":\"%llu\"", (unsigned long long)db->received);
        return 0;
    }
    if (db->received != db->now.total || db->crc != db->now.crc) {
        int is_short = db->received != db->now.total;
        uint64_t expected = is_short ? db->now.total : db->now.crc, actual = is_short ? db->received : db->crc;
        end(db);
        remove_partial(db);
        return rejected(is_short ? "length_mismatch" : "crc_mismatch", 1, expected, actual, 0);
    }
    if (publish(db)) return -1;
    end(db);
    db->committed = 1;
    db->last = db->now;
    db->repeats = e->offset > 0;
    db->final_offset = e->offset;
    db->final_length = e->length;
    return committed(db, db->now.lsn);
}

static int same(const identity *a, const identity *b) {
    return !strcmp(a->cluster, b->cluster) && a->lsn == b->lsn && a->total == b->total && a->crc == b->crc;
}

static int chunk(const envelope *e) {
    if (!valid_id(e->id)) return rejected("invalid_database_id", 0, 0, 0, 0);
    if (!e->cluster[0] || strlen(e->cluster) > 200) return rejected("invalid_cluster_id", 0, 0, 0, 0);
    identity id = {.lsn = e->lsn, .total = e->total, .crc = (uint32_t)e->crc};
    strcpy(id.cluster, e->cluster);
    database *db = find(e->id);
    int runs = db && db->runs, ours = runs && same(&db->now, &id);
    uint64_t resume = ours ? db->received : 0, sum = e->offset + e->length;
    if (e->length > CHUNK_MAX) return rejected("chunk_too_large", 1, CHUNK_MAX, e->length, resume);
    int overrun = sum < e->offset || sum > e->total;
    if (sum < e->offset) sum = UINT64_MAX;
    if (e->offset == 0) {
        if (e->total > SNAPSHOT_MAX) return rejected("snapshot_too_large", 1, SNAPSHOT_MAX, e->total, resume);
        if (overrun) return rejected("length_overrun", 1, e->total, sum, resume);
        uint64_t newest = runs ? db->now.lsn : 0;
        if (db && !runs && db->committed && !strcmp(db->last.cluster, id.cluster)) newest = db->last.lsn;
        if (e->lsn < newest) return rejected("stale_snapshot", 1, newest, e->lsn, resume);
        if (!runs && running() >= TRANSFERS_MAX) return rejected("too_many_transfers", 0, 0, 0, resume);
        db = place(e->id);
        if (!db) return rejected("too_many_transfers", 0, 0, 0, 0);
    } else if (!runs) {
        if (db && db->repeats && e->done && same(&db->last, &id) && e->offset == db->final_offset &&
            e->length == db->final_length)
            return committed(db, e->lsn);
        return rejected("offset_mismatch", 1, 0, e->offset, 0);
    } else if (!ours) {
        return rejected("identity_mismatch", 0, 0, 0, 0);
    } else if (e->offset != db->received) {
        return rejected("offset_mismatch", 1, db->received, e->offset, resume);
    } else if (overrun) {
        return rejected("length_overrun", 1, e->total, sum, resume);
    }
    return admitted(db, &id, e);
}

static int abort_transfers(const char *id) {
    int error = 0;
    if (id && !valid_id(id)) return rejected("invalid_database_id", 0, 0, 0, 0);
    for (int i = 0; i < known_count; i++) {
        database *db = &known[i];
        if ((id && strcmp(db->id, id)) || (!db->runs && !db->owed)) continue;
        end(db);
        if (remove_partial(db)) error = db->owed;
    }
    if (error) return failed("remove", error);
    return sprintf(reply, "\"reply\":\"aborted\"");
}

static void close_receiver(void) {
    if (directory >= 0) {
        abort_transfers(NULL);
        close(directory);
    }
    directory = -1;
    known_count = 0;
}

static int sync_path(const char *path) {
    int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) return -1;
    int synced = fsync(at);
    close(at);
    return synced;
}

static int sweep(void) {
    int left = 0, copy = openat(directory, ".", O_RDONLY | O_DIRECTORY);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    if (!entries) return -1;
    for (struct dirent *entry; (entry = readdir(entries));) {
        char id[256];
        struct stat found;
        size_t length = strlen(entry->d_name);
        if (length < 9 || strcmp(entry->d_name + length - 8, ".partial")) continue;
        sprintf(id, "%.*s", (int)length - 8, entry->d_name);
        if (!valid_id(id) || fstatat(directory, entry->d_name, &found, AT_SYMLINK_NOFOLLOW)) continue;
        if (S_ISREG(found.st_mode) || S_ISLNK(found.st_mode))
            left += unlinkat(directory, entry->d_name, 0) != 0;
        else
            left += S_ISDIR(found.st_mode);
    }
    closedir(entries);
    return left;
}

static int open_receiver(const char *data_dir) {
    char receive[8256], parent[8256];
    close_receiver();
    snprintf(receive, sizeof receive, "%s/recv_snapshots", data_dir);
    snprintf(parent, sizeof parent, "%s/..", data_dir);
    if ((mkdir(data_dir, 0700) && errno != EEXIST) || (mkdir(receive, 0700) && errno != EEXIST))
        return failed("open", errno);
    directory = open(receive, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) return failed("open", errno);
    const char *operation = "lock";
    int left = -1;
    if (!flock(directory, LOCK_EX | LOCK_NB)) {
        operation = "open";
        left = sweep();
    }
    if (left < 0 || fsync(directory) || sync_path(data_dir) || sync_path(parent)) {
        int error = errno;
        close(directory);
        directory = -1;
        return failed(operation, error);
    }
    return sprintf(reply, "\"reply\":\"opened\",\"orphans_left\":%d", left);
}

/* ---- Flat JSON: enough for the requests of the kit, and nothing that is none gets through. ---- */

static const char *skip(const char *at) { return at + strspn(at, " \t\r\n"); }

/* A text with its escapes undone; NUL bytes make it invalid as an id, so they become '/'. */
static const char *text(const char *at, char *out, size_t room) {
    size_t length = 0;
    if (*at++ != '"') return NULL;
    while (*at && *at != '"') {
        unsigned code = (unsigned char)*at++;
        int raw = 1;
        if (code == '\\') {
            char kind = *at++;
            const char *plain = strchr("\"\"\\\\//b\bf\fn\nr\rt\t", kind);
            if (kind == 'u') {
                if (sscanf(at, "%4x", &code) != 1 || strspn(at, "0123456789abcdefABCDEF") < 4) return NULL;
                at += 4;
                unsigned low;
                if (code >= 0xD800 && code < 0xDC00 && sscanf(at, "\\u%4x", &low) == 1) {
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    at += 6;
                }
                raw = 0;
            } else if (kind && plain) {
                const char *pairs = "\"\"\\\\//b\bf\fn\nr\rt\t";
                for (int i = 0; pairs[i]; i += 2)
                    if (pairs[i] == kind) code = (unsigned char)pairs[i + 1];
            } else {
                return NULL;
            }
        }
        if (length + 5 > room) return NULL;
        if (raw || code < 0x80) {
            out[length++] = code ? (char)code : '/';
        } else if (code < 0x800) {
            out[length++] = (char)(0xC0 | code >> 6), out[length++] = (char)(0x80 | (code & 63));
        } else if (code < 0x10000) {
            out[length++] = (char)(0xE0 | code >> 12), out[length++] = (char)(0x80 | (code >> 6 & 63));
            out[length++] = (char)(0x80 | (code & 63));
        } else {
            out[length++] = (char)(0xF0 | code >> 18), out[length++] = (char)(0x80 | (code >> 12 & 63));
            out[length++] = (char)(0x80 | (code >> 6 & 63)), out[length++] = (char)(0x80 | (code & 63));
        }
    }
    out[length] = 0;
    return *at == '"' ? at + 1 : NULL;
}

/* The end of the value at `at`, of any kind; NULL where there is none. */
static const char *value_end(const char *at) {
    at = skip(at);
    if (*at == '"') {
        for (at++; *at && *at != '"'; at++)
            if (*at == '\\' && at[1]) at++;
        return *at ? at + 1 : NULL;
    }
    if (*at == '{' || *at == '[') {
        char close = *at == '{' ? '}' : ']';
        for (at = skip(at + 1); *at != close;) {
            if (!*at || !(at = value_end(at))) return NULL;
            at = skip(at);
            if (*at == ':' || *at == ',') at = skip(at + 1);
            else if (*at != close) return NULL;
        }
        return at + 1;
    }
    size_t length = strspn(at, "+-.0123456789aeflnrstuE");
    return length ? at + length : NULL;
}

/* The value of a key in the object at `at`; NULL where it has none. */
static const char *get(const char *at, const char *key) {
    size_t length = strlen(key);
    if (!at || *(at = skip(at)) != '{') return NULL;
    for (at = skip(at + 1); *at == '"';) {
        const char *after = value_end(at);
        if (!after) return NULL;
        int found = (size_t)(after - at) == length + 2 && !strncmp(at + 1, key, length);
        at = skip(after);
        if (*at != ':') return NULL;
        at = skip(at + 1);
        if (found) return at;
        if (!(at = value_end(at))) return NULL;
        at = skip(at);
        if (*at == ',') at = skip(at + 1);
    }
    return NULL;
}

static int number(const char *object, const char *key, uint64_t most, uint64_t *out) {
    const char *at = get(object, key);
    if (!at) return -1;
    int quoted = *at == '"';
    at += quoted;
    size_t digits = strspn(at, "0123456789");
    if (!digits || digits > 20 || (quoted ? at[digits] != '"' : strchr(".eE", at[digits]) != NULL && at[digits])) return -1;
    errno = 0;
    *out = strtoull(at, NULL, 10);
    return errno || *out > most ? -1 : 0;
}

static int decode(const char *at, envelope *e) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static signed char values[256];
    if (!values['/']) {
        memset(values, -1, sizeof values);
        for (int i = 0; i < 64; i++) values[(unsigned char)digits[i]] = (signed char)i;
    }
    const char *close = at && *at == '"' ? strchr(at + 1, '"') : NULL;
    if (!close || (close - at - 1) % 4) return -1;
    e->data = malloc((size_t)(close - at) / 4 * 3 + 3);
    if (!e->data) return -1;
    uint32_t bits = 0;
    int held = 0, pads = 0;
    for (at++; at < close; at++) {
        int value = values[(unsigned char)*at];
        if (*at == '=') pads++;
        else if (value < 0 || pads) return -1;
        bits = bits << 6 | (uint32_t)(value < 0 ? 0 : value);
        if (++held == 4) {
            for (int i = 0; i < 3 - pads; i++) e->data[e->length++] = (unsigned char)(bits >> (16 - 8 * i));
            held = 0, bits = 0;
        }
    }
    return pads > 2 ? -1 : 0;
}

static int read_envelope(const char *object, envelope *e) {
    const char *id = get(object, "source_database_id"), *cluster = get(object, "source_cluster_id");
    const char *done = get(object, "done");
    if (!id || !text(id, e->id, sizeof e->id) || !cluster || !text(cluster, e->cluster, sizeof e->cluster)) return -1;
    if (number(object, "snapshot_lsn", UINT64_MAX, &e->lsn) || number(object, "total_bytes", UINT64_MAX, &e->total) ||
        number(object, "total_crc32c", UINT32_MAX, &e->crc) || number(object, "offset", UINT64_MAX, &e->offset))
        return -1;
    if (!done || (strncmp(done, "true", 4) && strncmp(done, "false", 5))) return -1;
    e->done = *done == 't';
    return decode(get(object, "data"), e);
}

static void answer(const char *line, int *over) {
    static char op[64], path[8192];
    const char *end_of = value_end(line), *name = get(line, "op");
    sprintf(reply, "\"reply\":\"errored\",\"message\":\"no request that I understand\"");
    if (!end_of || *skip(end_of) || !name || !text(name, op, sizeof op)) return;
    if (!strcmp(op, "hello")) {
        sprintf(reply,
                "\"name\":\"plain-c\",\"version\":\"1.0\",\"language\":\"c\",\"features\":[\"abort\",\"multi\",\"restart\","
                "\"stale\",\"lock\"],\"limits\":{\"chunk_bytes_max\":%u,\"snapshot_bytes_max\":%llu,\"transfers_max\":%d}",
                CHUNK_MAX, SNAPSHOT_MAX, TRANSFERS_MAX);
    } else if (!strcmp(op, "open")) {
        const char *at = get(line, "data_dir");
        if (at && text(at, path, sizeof path)) open_receiver(path);
    } else if (!strcmp(op, "chunk") && directory >= 0) {
        envelope *e = calloc(1, sizeof *e);
        if (e && !read_envelope(get(line, "envelope"), e)) chunk(e);
        if (e) free(e->data);
        free(e);
    } else if (!strcmp(op, "abort") && directory >= 0) {
        const char *at = get(line, "database_id");
        if (!at) abort_transfers(NULL);
        else if (text(at, path, sizeof path)) abort_transfers(path);
    } else if (!strcmp(op, "close")) {
        close_receiver();
        sprintf(reply, "\"reply\":\"closed\"");
        *over = 1;
    }
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    int over = 0;
    while (!over && getline(&line, &room, stdin) > 0) {
        uint64_t seq;
        answer(line, &over);
        if (value_end(line) && !number(line, "seq", UINT64_MAX, &seq))
            printf("{\"seq\":%llu,%s}\n", (unsigned long long)seq, reply);
        else
            printf("{\"seq\":null,%s}\n", reply);
        fflush(stdout);
    }
    free(line);
    return 0;
}
