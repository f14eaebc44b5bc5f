/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/reflector.h"

#include <stdio.h>

#include "base/mem.h"

#define SECOND         1000000ull
#define PAGE           250
#define ANSWER_US      (30 * SECOND) /* until the next byte of a list, or a watch's head */
#define GRACE_US       (10 * SECOND) /* a watch that outlives its time by this is dead */
#define BACKOFF_MIN_US (250 * 1000ull)
#define BACKOFF_MAX_US (30 * SECOND)
#define ABSENT_US      (20 * SECOND)
#define LIVED_US       (5 * SECOND) /* a watch that lasted so long was a good one */
#define RETRY_MAX_S    300u
#define LISTED_FAILED                                                                              \
    3u /* a whole list was had: what fails next is tried again within two or three seconds */

int weir_reflector_init(struct weir_reflector *r, const struct weir_reflector_spec *spec,
                        struct weir_kube_store *store) {
    *r = (struct weir_reflector){ .spec = *spec, .store = store };
    r->spec.random |= 1;
    r->selector = weir_strndup(spec->selector, strlen(spec->selector));
    r->spec.selector = r->selector;
    return r->selector ? 0 : -ENOMEM;
}

void weir_reflector_deinit(struct weir_reflector *r) {
    weir_kube_split_deinit(&r->split);
    r->selector = weir_free(r->selector);
    r->more = weir_free(r->more);
    r->following = weir_free(r->following);
}

bool weir_reflector_current(const struct weir_reflector *r) {
    return r->absent || (r->state == WEIR_REFLECTOR_WATCH && r->asking && r->status == 200);
}

/* xorshift64: spreads agents, nothing else. */
static uint64_t jitter(struct weir_reflector *r, uint64_t us) {
    uint64_t x = r->spec.random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    r->spec.random = x;
    return us / 2 + (us ? x % us : 0);
}

static void back_off(struct weir_reflector *r, uint64_t now) {
    uint64_t wait = BACKOFF_MIN_US << (r->failed < 8 ? r->failed : 8);

    r->failed++;
    if (wait > BACKOFF_MAX_US)
        wait = BACKOFF_MAX_US;
    r->due = now + jitter(r, wait);
    if (r->retry_s > 0 && r->due < now + r->retry_s * SECOND)
        r->due = now + r->retry_s * SECOND + jitter(r, SECOND);
}

/* ---- asking ---- */

static void list_anew(struct weir_reflector *r) {
    r->state = WEIR_REFLECTOR_LIST;
    r->more = weir_free(r->more);
}

/* A token is opaque: whatever may not stand in a query goes as %XX. False: no room. */
static bool put_escaped(char *to, size_t size, const char *text) {
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '_' || c == '.' || c == '~';

        if (n + 4 > size)
            return false;
        if (plain) {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '%';
        to[n++] = hex[c >> 4];
        to[n++] = hex[c & 15];
    }
    to[n] = '\0';
    return true;
}

static bool list_path(struct weir_reflector *r, char *path) {
    const struct weir_kube_resource *resource = weir_kube_resource(r->spec.kind);
    int n;

    if (!r->more)
        r->seen++;
    n = snprintf(path, WEIR_REFLECTOR_PATH, "%s?%s%s", resource->path, r->selector,
                 r->selector[0] ? "&" : "");
    if (r->unpaged)
        return snprintf(path + n, WEIR_REFLECTOR_PATH - (size_t)n, "resourceVersion=") > 0;
    n += snprintf(path + n, WEIR_REFLECTOR_PATH - (size_t)n, "limit=%d", PAGE);
    if (!r->more)
        return true;
    n += snprintf(path + n, WEIR_REFLECTOR_PATH - (size_t)n, "&continue=");
    return put_escaped(path + n, WEIR_REFLECTOR_PATH - (size_t)n, r->more);
}

static bool watch_path(struct weir_reflector *r, char *path) {
    const struct weir_kube_resource *resource = weir_kube_resource(r->spec.kind);
    char version[3 * sizeof(r->version) + 4];

    /* Versions are numbers so far, and are called opaque. */
    return put_escaped(version, sizeof(version), r->version) &&
           snprintf(path, WEIR_REFLECTOR_PATH,
                    "%s?%s%swatch=1&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%u",
                    resource->path, r->selector, r->selector[0] ? "&" : "", version,
                    r->spec.watch_s) < (int)WEIR_REFLECTOR_PATH;
}

static int on_value(void *arg, const char *key, struct weir_slice value);

bool weir_reflector_next(struct weir_reflector *r, uint64_t now,
                         char path[static WEIR_REFLECTOR_PATH]) {
    bool watch = r->state == WEIR_REFLECTOR_WATCH;

    if (r->asking || now < r->due)
        return false;
    if (watch ? !watch_path(r, path) : !list_path(r, path)) {
        r->unpaged = true; /* a token that long helps nobody */
        list_anew(r);
        (void)list_path(r, path);
        watch = false;
    }
    weir_kube_split_deinit(&r->split);
    weir_kube_split_init(&r->split, watch, on_value, r);
    r->counts.watches += watch;
    r->counts.lists += !watch && !r->more;
    r->following = weir_free(r->following);
    r->asking = true;
    r->status = r->gone = 0;
    r->retry_s = 0;
    r->begun = now;
    r->deadline = now + ANSWER_US;
    return true;
}

/* ---- what comes ---- */

static int refuse(struct weir_reflector *r, const char *why) {
    r->counts.refused++;
    snprintf(r->why, sizeof(r->why), "an object was left out: %.100s", why);
    return 0;
}

static struct weir_kube_put how_of(const struct weir_reflector *r, bool listed) {
    return (struct weir_kube_put){ .kind = r->spec.kind,
                                   .source = r->spec.source,
                                   .seen = r->seen,
                                   .own = r->spec.own,
                                   .listed = listed };
}

static int put(struct weir_reflector *r, const json_t *object, bool listed) {
    const struct weir_kube_put how = how_of(r, listed);
    const char *why;
    int result = weir_kube_store_put(r->store, &how, object, &why);

    return result == -EINVAL ? refuse(r, why) : result;
}

static void version_set(struct weir_reflector *r, const json_t *meta) {
    const char *version = weir_kube_text(meta, "resourceVersion", NULL);

    if (version[0] && strlen(version) < sizeof(r->version))
        strcpy(r->version, version);
}

static int list_value(struct weir_reflector *r, const char *key, const json_t *value) {
    const char *more;

    if (strcmp(key, "items") == 0)
        return put(r, value, true);
    if (strcmp(key, "metadata") != 0)
        return 0;
    version_set(r, value);
    more = weir_kube_text(value, "continue", NULL);
    r->following = weir_free(r->following);
    if (more[0] == '\0')
        return 0;
    r->following = weir_strndup(more, strlen(more));
    return r->following ? 0 : -ENOMEM;
}

static int watch_value(struct weir_reflector *r, const json_t *event) {
    const char *type = weir_kube_text(event, "type", NULL);
    const json_t *object = json_object_get(event, "object");
    const struct weir_kube_put how = how_of(r, false);
    int result = 0;

    if (strcmp(type, "ERROR") == 0) {
        r->gone = (int)json_integer_value(json_object_get(object, "code"));
        snprintf(r->why, sizeof(r->why), "%s", weir_kube_text(object, "message", NULL));
        return -ESTALE;
    }
    if (strcmp(type, "BOOKMARK") == 0) {
        r->counts.bookmarks++;
    } else if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
        r->counts.events++;
        result = put(r, object, false);
    } else if (strcmp(type, "DELETED") == 0) {
        r->counts.events++;
        weir_kube_store_delete(r->store, &how, object);
    } else {
        return refuse(r, "a watch event of a type that is not known");
    }
    if (result == 0) {
        version_set(r, json_object_get(object, "metadata"));
        r->failed = 0;
    }
    return result;
}

static int on_value(void *arg, const char *key, struct weir_slice text) {
    struct weir_reflector *r = arg;
    bool watch = r->state == WEIR_REFLECTOR_WATCH;
    json_error_t error;
    json_t *value;
    int result;

    /* Of what is not the object wanted, only what is used is looked at. */
    if (r->status == 200 && !watch && strcmp(key, "items") != 0 && strcmp(key, "metadata") != 0)
        return 0;
    value = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        return json_error_code(&error) == json_error_out_of_memory       ? -ENOMEM
               : r->status == 200 && !watch && strcmp(key, "items") == 0 ? refuse(r, error.text)
                                                                         : -EBADMSG;
    if (r->status != 200) {
        if (strcmp(key, "message") == 0 && json_is_string(value))
            snprintf(r->why, sizeof(r->why), "%s", json_string_value(value));
        result = 0;
    } else {
        result = watch ? watch_value(r, value) : list_value(r, key, value);
    }
    json_decref(value);
    return result;
}

void weir_reflector_head(struct weir_reflector *r, uint64_t now, int status, uint32_t retry_s) {
    r->status = status;
    r->retry_s = retry_s < RETRY_MAX_S ? retry_s : RETRY_MAX_S;
    r->deadline = now + ANSWER_US;
    if (status != 200) {
        /* A Status object: its message says what is the matter. */
        weir_kube_split_deinit(&r->split);
        weir_kube_split_init(&r->split, false, on_value, r);
        snprintf(r->why, sizeof(r->why), "the API server answers %d", status);
    } else if (r->state == WEIR_REFLECTOR_WATCH) {
        r->deadline = now + r->spec.watch_s * SECOND + GRACE_US;
        r->why[0] = '\0';
    }
}

int weir_reflector_body(struct weir_reflector *r, uint64_t now, struct weir_slice bytes) {
    int result = weir_kube_split_feed(&r->split, bytes);

    if (r->status != 200)
        return 0; /* an error page may be anything */
    if (r->state == WEIR_REFLECTOR_LIST)
        r->deadline = now + ANSWER_US;
    return result;
}

/* ---- how it ended ---- */

static void fail(struct weir_reflector *r, uint64_t now, const char *why) {
    r->counts.failures++;
    if (why)
        snprintf(r->why, sizeof(r->why), "%s", why);
    back_off(r, now);
}

static void expire(struct weir_reflector *r, uint64_t now) {
    r->counts.expired++;
    /* The token of a page, or the version of a watch. The next list is of one piece if it was a token. */
    r->unpaged = r->state == WEIR_REFLECTOR_LIST;
    list_anew(r);
    r->why[0] = '\0';
    if (r->failed > 0) {
        back_off(r, now);
    } else {
        r->failed = 1; /* the first is everyday, the next ones wait */
        r->due = now;
    }
}

static void be_absent(struct weir_reflector *r, uint64_t now) {
    struct weir_kube_put how;

    r->seen++;
    how = how_of(r, true);
    weir_kube_store_sweep(r->store, &how);
    list_anew(r);
    r->absent = r->synced = true;
    r->failed = 0;
    r->due = now + jitter(r, ABSENT_US);
}

static void refused(struct weir_reflector *r, uint64_t now) {
    bool optional = weir_kube_resource(r->spec.kind)->optional;

    r->unauthorised = r->status == 401;
    if (r->status == 410)
        expire(r, now);
    else if (optional && (r->status == 404 || r->status == 403))
        be_absent(r, now);
    else
        fail(r, now, NULL);
}

static void list_ended(struct weir_reflector *r, uint64_t now) {
    const struct weir_kube_put how = how_of(r, true);

    r->due = now;
    r->failed = r->more ? 0 : r->failed;
    weir_free(r->more);
    r->more = r->following;
    r->following = NULL;
    if (r->more)
        return;
    if (r->version[0] == '\0') {
        fail(r, now, "a list without a resourceVersion");
        return;
    }
    weir_kube_store_sweep(r->store, &how);
    r->state = WEIR_REFLECTOR_WATCH;
    if (r->failed > LISTED_FAILED)
        r->failed = LISTED_FAILED;
    r->synced = true;
    r->absent = r->unpaged = false;
}

static void watch_ended(struct weir_reflector *r, uint64_t now, const char *broken) {
    bool lived = now - r->begun >= LIVED_US || now - r->begun >= r->spec.watch_s * SECOND;

    if (r->gone == 410) {
        expire(r, now);
    } else if (r->gone || broken) {
        if (lived)
            r->failed = 0;
        fail(r, now, broken && !r->gone ? broken : NULL);
    } else {
        /* Its time is over. One that ends at once, again and again, is not worth a hot loop. */
        r->due = now;
        if (lived)
            r->failed = 0;
        else
            back_off(r, now);
    }
}

void weir_reflector_end(struct weir_reflector *r, uint64_t now, const char *broken) {
    int status = r->status;

    if (!r->asking)
        return;
    r->asking = r->unauthorised = false;
    if (status != 200 && status != 0 && (!broken || status == 401 || status == 410))
        refused(r, now);
    else if (status != 200)
        fail(r, now, broken ? broken : "an answer without a head");
    else if (r->state == WEIR_REFLECTOR_WATCH)
        watch_ended(r, now, broken);
    else if (broken || !weir_kube_split_whole(&r->split))
        fail(r, now, broken ? broken : "a list that ends in the middle");
    else
        list_ended(r, now);
    weir_kube_split_deinit(&r->split);
}
