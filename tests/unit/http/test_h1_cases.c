/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the cases of tests/data/h1: Markdown with a heading per case, prose, and fenced blocks
 * `setup`, `raw` (bytes; line breaks of the file do not count, escapes do) and `events` (what the
 * owner must see). Every case is fed whole, one byte at a time and cut at every offset; the log
 * must always be the same.
 *
 * setup lines: "limit NAME N", "request METHOD [upgrade]" (responses: what was asked, default GET),
 * "reply STATUS" (requests: the owner's answer at `end`, default 200; 0 = none), "eof" (after the
 * last byte).
 */
#include <dirent.h>

#include "h1_owner.h"

#define RAW_MAX (1u << 18)

struct one_case {
    char name[160];
    char setup[512];
    char *raw;
    size_t raw_len;
    char events[8192];
};

struct setup {
    struct weir_codec_limits limits;
    char method[16];
    bool upgrade, eof;
    unsigned reply;
};

/* ---- reading the Markdown ---- */

static size_t put_bytes(char *to, size_t at, const char *bytes, size_t n) {
    if (at + n > RAW_MAX)
        fail_msg("case too long");
    memcpy(to + at, bytes, n);
    return at + n;
}

/* One line of a raw block: \r \n \t \0 \\ \xHH, and \{N:text} for N times text. */
static size_t unescape(char *to, size_t at, const char *line) {
    for (const char *p = line; *p; p++) {
        if (*p != '\\') {
            at = put_bytes(to, at, p, 1);
            continue;
        }
        switch (*++p) {
        case 'r':
            at = put_bytes(to, at, "\r", 1);
            break;
        case 'n':
            at = put_bytes(to, at, "\n", 1);
            break;
        case 't':
            at = put_bytes(to, at, "\t", 1);
            break;
        case '0':
            at = put_bytes(to, at, "\0", 1);
            break;
        case '\\':
            at = put_bytes(to, at, "\\", 1);
            break;
        case 'x': {
            char hex[3] = { p[1], p[2], 0 }, c = (char)strtoul(hex, NULL, 16);
            at = put_bytes(to, at, &c, 1);
            p += 2;
            break;
        }
        case '{': {
            char *colon;
            unsigned long n = strtoul(p + 1, &colon, 10);
            const char *end = strchr(colon, '}');
            char text[64] = "";
            char piece[256];
            assert_non_null(end);
            assert_true(*colon == ':' && end - colon - 1 < 64);
            memcpy(text, colon + 1, (size_t)(end - colon - 1));
            size_t len = unescape(piece, 0, text);
            while (n--)
                at = put_bytes(to, at, piece, len);
            p = end;
            break;
        }
        default:
            fail_msg("unknown escape \\%c", *p);
        }
    }
    return at;
}

static void setup_read(const char *text, struct setup *s) {
    char copy[512], *save;
    *s = (struct setup){ weir_codec_limits_default, "GET", false, false, 200 };
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char word[32] = "", name[32] = "", rest[32] = "";
        sscanf(line, "%31s %31s %31s", word, name, rest);
        unsigned n = (unsigned)strtoul(rest, NULL, 10);
        if (strcmp(word, "eof") == 0)
            s->eof = true;
        else if (strcmp(word, "reply") == 0)
            s->reply = (unsigned)strtoul(name, NULL, 10);
        else if (strcmp(word, "request") == 0)
            snprintf(s->method, sizeof(s->method), "%.15s", name),
                s->upgrade = strcmp(rest, "upgrade") == 0;
        else if (strcmp(name, "head_bytes") == 0)
            s->limits.head_bytes = n;
        else if (strcmp(name, "target_bytes") == 0)
            s->limits.target_bytes = n;
        else if (strcmp(name, "fields") == 0)
            s->limits.fields = (uint16_t)n;
        else if (strcmp(name, "informational") == 0)
            s->limits.informational = (uint16_t)n;
        else if (strcmp(name, "chunk_ext_bytes") == 0)
            s->limits.chunk_ext_bytes = n;
        else if (strcmp(name, "trailer_bytes") == 0)
            s->limits.trailer_bytes = n;
        else
            fail_msg("setup: %s", line);
    }
}

/* ---- running one ---- */

static void owner_reply(struct owner *o, unsigned status) {
    enum weir_body body = status == 101 ? WEIR_BODY_TUNNEL : WEIR_BODY_LENGTH;
    if (o->head.method == WEIR_METHOD_CONNECT && status / 100 == 2)
        body = WEIR_BODY_TUNNEL;
    struct weir_head head = response_head(status, body, body == WEIR_BODY_LENGTH ? 0 : UINT64_MAX);
    head.protocol = WEIR_SLICE("proto");
    assert_int_equal(o->codec->ops->send_head(o->codec, o->cs, &head, body != WEIR_BODY_TUNNEL), 0);
    o->replied = true;
}

/* Feeds what is there, answering requests as they complete. *ret_used: how far it got. */
static int feed_all(struct owner *o, const struct setup *s, const char *bytes, size_t n,
                    size_t *ret_used) {
    int r = 0;
    bool answered = true;
    *ret_used = 0;
    while (*ret_used < n && r == 0 && answered) {
        size_t used;
        r = owner_feed(o, bytes + *ret_used, n - *ret_used, &used);
        *ret_used += used;
        answered = used > 0;
        if (r == 0 && o->cs && o->ended && !o->replied && s->reply &&
            o->codec->role == WEIR_ROLE_SERVER) {
            owner_reply(o, s->reply);
            answered = true;
        }
        assert_int_equal(owner_pull(o), 0);
    }
    return r;
}

static void run(const struct one_case *c, bool request, size_t step, size_t cut, struct log *ret) {
    struct owner o;
    struct setup s;
    setup_read(c->setup, &s);
    owner_init(&o, request ? WEIR_ROLE_SERVER : WEIR_ROLE_CLIENT);
    o.limits = s.limits;
    if (!request) {
        struct weir_head head = request_head(s.method, "/", WEIR_BODY_NONE, UINT64_MAX);
        if (strcmp(s.method, "CONNECT") == 0)
            head.target = WEIR_SLICE("a:1");
        head.wants_upgrade = s.upgrade;
        if (s.upgrade)
            head.protocol = WEIR_SLICE("proto");
        weir_head_init(&o.head, &o.arena);
        assert_int_equal(o.codec->ops->open(o.codec, &o, &o.head, &o.cs), 0);
        assert_int_equal(o.codec->ops->send_head(o.codec, o.cs, &head, true), 0);
        assert_int_equal(owner_pull(&o), 0);
    }
    /* What was not taken is put in front of the next piece, as an owner does. */
    int r = 0;
    size_t at = 0, there = 0;
    while (there < c->raw_len && r == 0) {
        size_t used, n = step ? step : there < cut ? cut - there : c->raw_len - there;
        there += n < c->raw_len - there ? n : c->raw_len - there;
        r = feed_all(&o, &s, c->raw + at, there - at, &used);
        at += used;
    }
    if (r == 0 && at < there) {
        char text[40];
        flush_data(&o);
        snprintf(text, sizeof(text), "unfed %zu\n", there - at);
        log_text(&o.log, text);
    }
    if (r == 0 && s.eof) {
        owner_eof(&o);
        assert_int_equal(owner_pull(&o), 0);
    }
    flush_data(&o);
    owner_reread(&o);
    if (o.codec->must_close)
        log_text(&o.log, "must_close\n");
    *ret = o.log;
    o.log = (struct log){ 0 };
    owner_deinit(&o);
}

static void check(const struct one_case *c, bool request, size_t step, size_t cut) {
    struct log log;
    run(c, request, step, cut, &log);
    if (getenv("WEIR_H1_PRINT") && step == 0 && cut == c->raw_len)
        printf("## %s\n%s\n", c->name, log.text ? log.text : "");
    else if (strcmp(log.text ? log.text : "", c->events) != 0) {
        print_error("case \"%s\", step %zu, cut at %zu\n--- expected\n%s--- seen\n%s", c->name,
                    step, cut, c->events, log.text ? log.text : "");
        fail();
    }
    free(log.text);
}

static unsigned n_cases;

static void check_case(const struct one_case *c, bool request) {
    size_t stride = c->raw_len > 3000 ? c->raw_len / 97 : 1;
    n_cases++;
    if (c->raw_len == 0 && !strstr(c->setup, "eof"))
        fail_msg("%s: nothing to feed", c->name);
    check(c, request, 0, c->raw_len);
    if (getenv("WEIR_H1_PRINT"))
        return;
    check(c, request, 1, 0);
    for (size_t cut = 1; cut < c->raw_len; cut += stride)
        check(c, request, 0, cut);
}

static void file_run(const char *path, bool request) {
    FILE *f = fopen(path, "r");
    char line[8192], *into = NULL;
    size_t room = 0;
    bool in_raw = false, have = false;
    struct one_case c = { .raw = malloc(RAW_MAX) };
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        bool fence = strncmp(line, "```", 3) == 0;
        if (fence && (into || in_raw)) {
            if (into == c.events)
                check_case(&c, request);
            into = NULL;
            in_raw = false;
        } else if (fence && strcmp(line, "```raw\n") == 0) {
            in_raw = true;
        } else if (fence && strcmp(line, "```setup\n") == 0) {
            into = c.setup;
            room = sizeof(c.setup);
        } else if (fence && strcmp(line, "```events\n") == 0) {
            into = c.events;
            room = sizeof(c.events);
        } else if (fence) {
            fail_msg("%s: unknown block %s", path, line);
        } else if (in_raw) {
            line[strcspn(line, "\n")] = '\0';
            c.raw_len = unescape(c.raw, c.raw_len, line);
        } else if (into) {
            assert_true(strlen(into) + strlen(line) < room);
            strcat(into, line);
        } else if (strncmp(line, "## ", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(c.name, sizeof(c.name), "%.150s", line + 3);
            c.setup[0] = c.events[0] = '\0';
            c.raw_len = 0;
            have = true;
        }
    }
    assert_true(have);
    assert_true(!in_raw && !into);
    free(c.raw);
    fclose(f);
}

static void folder_run(const char *name, bool request) {
    char path[512];
    struct dirent **entries;
    snprintf(path, sizeof(path), "%s/%s", WEIR_TEST_DATA, name);
    int n = scandir(path, &entries, NULL, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(entries[i]->d_name);
        snprintf(path, sizeof(path), "%s/%s/%s", WEIR_TEST_DATA, name, entries[i]->d_name);
        if (len > 3 && strcmp(entries[i]->d_name + len - 3, ".md") == 0)
            file_run(path, request);
        free(entries[i]);
    }
    free(entries);
}

static void requests_give_the_same_events_however_they_are_cut(void **state) {
    n_cases = 0;
    folder_run("request", true);
    assert_true(n_cases >= 80);
}

static void responses_give_the_same_events_however_they_are_cut(void **state) {
    n_cases = 0;
    folder_run("response", false);
    assert_true(n_cases >= 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_give_the_same_events_however_they_are_cut),
        cmocka_unit_test(responses_give_the_same_events_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
