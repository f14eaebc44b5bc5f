/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a Pod gets the sidecar, and the edits that give or take it. */
#include <string.h>

#include "base/mem.h"
#include "inject/inject_internal.h"
#include "weir_config.h"

#define INJECTED "weir.dev/injected" /* what was put in, for who takes it out: JSON */
#define MODE     "weir.dev/mode"

/* What of a Pod was not there before; each has to go with the sidecar. */
#define MADE_METADATA    "metadata"
#define MADE_ANNOTATIONS "annotations"
#define MADE_INIT        "initContainers"
#define MADE_MODE        "mode"

struct job {
    struct weir_inject *in;
    const struct weir_node *pod, *metadata, *annotations, *spec, *init;
    const char *at;
    struct weir_inject_result *result;
    int r; /* -ENOMEM */
};

/* ---- edits ---- */

/* RFC 6901 3: "~" and "/" of a name. */
static const char *pointer(struct job *j, const char *where, const char *key) {
    char escaped[160];
    size_t n = 0;

    for (; *key && n < sizeof(escaped) - 2; key++) {
        if (*key == '~' || *key == '/') {
            escaped[n++] = '~';
            escaped[n++] = *key == '~' ? '0' : '1';
        } else {
            escaped[n++] = *key;
        }
    }
    escaped[n] = '\0';
    return weir_arena_printf(j->in->arena, "%s%s/%s", j->at, where, escaped);
}

/* Takes e.value over. */
static void push(struct job *j, struct weir_edit e, bool adds) {
    struct weir_inject_result *res = j->result;

    if (!e.path || (adds && !e.value))
        j->r = -ENOMEM;
    if (j->r == 0 && res->n_edits == res->cap_edits) {
        size_t cap = res->cap_edits * 2 + 8;
        struct weir_edit *grown = weir_reallocarray(res->edits, cap, sizeof(*grown));

        if (grown) {
            res->edits = grown;
            res->cap_edits = cap;
        } else {
            j->r = -ENOMEM;
        }
    }
    if (j->r == 0)
        res->edits[res->n_edits++] = e;
    else
        json_decref(e.value);
}

static void add_member(struct job *j, const struct weir_node *parent, const char *where,
                       const char *key, json_t *value) {
    struct weir_edit e = { parent, pointer(j, where, key), key, weir_node_get(parent, key), value };

    push(j, e, true);
}

static void add_first(struct job *j, const struct weir_node *list, const char *where,
                      json_t *value) {
    struct weir_edit e = { list, pointer(j, where, "0"), NULL, NULL, value };

    push(j, e, true);
}

static void remove_member(struct job *j, const struct weir_node *parent, const char *where,
                          const char *key) {
    struct weir_edit e = { parent, pointer(j, where, key), key, weir_node_get(parent, key), NULL };

    if (e.old)
        push(j, e, false);
}

static void remove_element(struct job *j, const struct weir_node *list, const char *where,
                           const struct weir_node *old, uint32_t index) {
    struct weir_edit e = { list, weir_arena_printf(j->in->arena, "%s%s/%u", j->at, where, index),
                           NULL, old, NULL };

    push(j, e, false);
}

void weir_inject_result_deinit(struct weir_inject_result *result) {
    for (size_t i = 0; i < result->n_edits; i++)
        json_decref(result->edits[i].value);
    weir_free(result->edits);
    *result = (struct weir_inject_result){ 0 };
}

/* ---- what is there ---- */

static const struct weir_node *find_named(const struct weir_node *list, const char *name,
                                          uint32_t *ret_index) {
    uint32_t i = 0;

    if (!list || list->type != WEIR_NODE_LIST)
        return NULL;
    WEIR_NODE_FOREACH(it, list) {
        if (strcmp(weir_node_text(it, "name"), name) == 0) {
            if (ret_index)
                *ret_index = i;
            return it;
        }
        i++;
    }
    return NULL;
}

static const struct weir_node *find_container(const struct job *j, const char *name) {
    const struct weir_node *n = find_named(j->init, name, NULL);

    return n ? n : find_named(weir_node_get(j->spec, "containers"), name, NULL);
}

/* A mesh that is there, or is going to be. */
static const char *peer_of(const struct job *j) {
    static const struct {
        const char *container, *annotation, *label, *value, *why;
    } peers[] = {
        { .container = "istio-proxy", .why = "it has Istio's sidecar" },
        { .annotation = "sidecar.istio.io/status", .why = "it has Istio's sidecar" },
        { .annotation = "sidecar.istio.io/inject",
          .value = "true",
          .why = "it asks for Istio's sidecar" },
        { .label = "sidecar.istio.io/inject",
          .value = "true",
          .why = "it asks for Istio's sidecar" },
        { .label = "istio.io/dataplane-mode",
          .value = "ambient",
          .why = "it is in Istio's ambient mesh" },
        { .container = "linkerd-proxy", .why = "it has Linkerd's sidecar" },
        { .annotation = "linkerd.io/inject",
          .value = "enabled",
          .why = "it asks for Linkerd's sidecar" },
        { .container = "kuma-sidecar", .why = "it has Kuma's sidecar" },
        { .container = "consul-dataplane", .why = "it has Consul's sidecar" },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(peers); i++) {
        const char *said = peers[i].annotation ? weir_inject_annotation(j->pod, peers[i].annotation)
                           : peers[i].label    ? weir_inject_label(j->pod, peers[i].label)
                                               : NULL;

        if (peers[i].container ? find_container(j, peers[i].container) != NULL
                               : said && (!peers[i].value || strcmp(said, peers[i].value) == 0))
            return peers[i].why;
    }
    return NULL;
}

static const char *port_taken(const struct job *j, const struct weir_node *containers) {
    static const int64_t ours[] = { 15001, 15006, 15012, 15020, 15021 };

    if (!containers)
        return NULL;
    WEIR_NODE_FOREACH(c, containers) {
        const struct weir_node *ports = weir_node_get(c, "ports");

        if (!ports)
            continue;
        WEIR_NODE_FOREACH(p, ports) {
            const struct weir_node *port = weir_node_get(p, "containerPort");

            for (size_t i = 0; port && i < WEIR_ARRAY_LEN(ours); i++)
                if (port->type == WEIR_NODE_INT && port->number == ours[i])
                    return weir_arena_printf(
                        j->in->arena, "its container %s has port %u, which the sidecar needs",
                        weir_node_text(c, "name"), (unsigned)ours[i]);
        }
    }
    return NULL;
}

/* NULL = it can be meshed. */
static const char *obstacle(const struct job *j) {
    const struct weir_node *host = weir_node_get(j->spec, "hostNetwork");
    const char *why;

    if (host && host->type == WEIR_NODE_BOOL && host->truth)
        return "it uses the host's network";
    if (strcmp(weir_node_text(weir_node_get(j->spec, "os"), "name"), "windows") == 0)
        return "it is a Pod for Windows";
    if (weir_inject_annotation(j->pod, "kubernetes.io/config.mirror"))
        return "it is the mirror of a static Pod, which cannot be changed";
    if ((why = peer_of(j)) || (why = port_taken(j, weir_node_get(j->spec, "containers"))))
        return why;
    return port_taken(j, j->init);
}

static const struct weir_node *first_shared(const struct weir_node *n) {
    const struct weir_node *found;

    if (n->shared)
        return n;
    WEIR_NODE_FOREACH(it, n) {
        if ((found = first_shared(it)))
            return found;
    }
    return NULL;
}

/* ---- putting in ---- */

static json_t *annotations_to_add(const char *const *made) {
    json_t *list = json_array(), *all = json_object();
    bool mode = false;
    char *text;

    for (; *made; made++) {
        mode |= strcmp(*made, MADE_MODE) == 0;
        json_array_append_new(list, json_string(*made));
    }
    json_t *record = json_pack("{s:s, s:o}", "version", WEIR_VERSION, "made", list);
    text = json_dumps(record, JSON_COMPACT);
    json_decref(record);
    if (text)
        json_object_set_new(all, INJECTED, json_string(text));
    free(text);
    if (mode)
        json_object_set_new(all, MODE, json_string("sidecar"));
    return all;
}

static void add_annotations(struct job *j, const char *const *made) {
    json_t *all = annotations_to_add(made), *value;
    const char *key;

    if (!j->metadata || j->metadata->type == WEIR_NODE_NULL) {
        add_member(j, j->pod, "", "metadata", json_pack("{s:o}", "annotations", all));
        return;
    }
    if (!j->annotations || j->annotations->type == WEIR_NODE_NULL) {
        add_member(j, j->metadata, "/metadata", "annotations", all);
        return;
    }
    json_object_foreach(all, key, value)
        add_member(j, j->annotations, "/metadata/annotations",
                   strcmp(key, MODE) == 0 ? MODE : INJECTED, json_incref(value));
    json_decref(all);
}

static void put_in(struct job *j, const struct weir_inject_wishes *wishes) {
    const char *made[5] = { 0 };
    size_t n = 0;

    if (!j->metadata)
        made[n++] = MADE_METADATA;
    if (!j->annotations)
        made[n++] = MADE_ANNOTATIONS;
    if (!j->init)
        made[n++] = MADE_INIT;
    if (!weir_inject_annotation(j->pod, MODE) && !weir_inject_label(j->pod, MODE))
        made[n++] = MADE_MODE;
    add_annotations(j, made);
    if (j->init && j->init->type == WEIR_NODE_LIST)
        add_first(j, j->init, "/spec/initContainers", weir_inject_sidecar(wishes));
    else
        add_member(j, j->spec, "/spec", "initContainers",
                   json_pack("[o]", weir_inject_sidecar(wishes)));
}

/* ---- taking out ---- */

static bool was_made(const json_t *record, const char *what) {
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(record, "made"), i,
                       item) if (json_is_string(item) &&
                                 strcmp(json_string_value(item), what) == 0) return true;
    return false;
}

static void take_annotations(struct job *j, const json_t *record) {
    bool mode = was_made(record, MADE_MODE) && weir_node_get(j->annotations, MODE);
    bool only = was_made(record, MADE_ANNOTATIONS) && j->annotations->n == 1u + mode;

    if (only && was_made(record, MADE_METADATA) && j->metadata->n == 1) {
        remove_member(j, j->pod, "", "metadata");
    } else if (only) {
        remove_member(j, j->metadata, "/metadata", "annotations");
    } else {
        remove_member(j, j->annotations, "/metadata/annotations", INJECTED);
        if (mode)
            remove_member(j, j->annotations, "/metadata/annotations", MODE);
    }
}

static void take_out(struct job *j, const json_t *record) {
    uint32_t index = 0;
    const struct weir_node *ours = find_named(j->init, WEIR_INJECT_CONTAINER, &index);

    take_annotations(j, record);
    if (!ours)
        return;
    if (was_made(record, MADE_INIT) && j->init->n == 1)
        remove_member(j, j->spec, "/spec", "initContainers");
    else
        remove_element(j, j->init, "/spec/initContainers", ours, index);
}

/* ---- the decision ---- */

static enum weir_inject_outcome leave(struct job *j, const char *why) {
    j->result->why = why;
    return WEIR_INJECT_UNCHANGED;
}

static enum weir_inject_outcome refuse(struct job *j, const struct weir_node *n, const char *field,
                                       const char *why) {
    j->r = weir_inject_error(j->in, n, field, "%s", why);
    return WEIR_INJECT_REFUSED;
}

static enum weir_inject_outcome decide_removal(struct job *j) {
    const char *said = weir_inject_annotation(j->pod, INJECTED);
    json_t *record;

    if (!said)
        return leave(j, "it has no sidecar of weir's");
    record = json_loads(said, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(record)) {
        json_decref(record);
        return refuse(
            j, j->annotations, "metadata.annotations." INJECTED,
            "not what weir writes there; remove it and the container " WEIR_INJECT_CONTAINER
            " by hand");
    }
    take_out(j, record);
    json_decref(record);
    return WEIR_INJECT_CHANGED;
}

static enum weir_inject_outcome decide_addition(struct job *j) {
    const char *mode = weir_inject_annotation(j->pod, MODE);
    const struct weir_node *ours = find_container(j, WEIR_INJECT_CONTAINER);
    struct weir_inject_wishes wishes;
    const char *why;

    if (!mode)
        mode = weir_inject_label(j->pod, MODE);
    if (weir_inject_annotation(j->pod, INJECTED)) {
        if (ours)
            return leave(j, "it has the sidecar already");
        return refuse(j, j->annotations, "metadata.annotations." INJECTED,
                      "there is no container " WEIR_INJECT_CONTAINER "; remove the annotation");
    }
    if (mode && strcmp(mode, "sidecar") != 0)
        return leave(j, weir_arena_printf(j->in->arena, "its weir.dev/mode is %s", mode));
    if ((why = obstacle(j)))
        return leave(j, why);
    if (ours)
        return refuse(j, ours, "spec.initContainers",
                      "a container named " WEIR_INJECT_CONTAINER " that weir did not put there");
    if (!weir_inject_wishes(j->in, j->pod, &wishes, &j->r))
        return WEIR_INJECT_REFUSED;
    if (!wishes.image)
        wishes.image = j->in->options->image;
    put_in(j, &wishes);
    return WEIR_INJECT_CHANGED;
}

/* The parts that are looked at, of the types they must be. */
static bool take_apart(struct job *j) {
    static const char *const names[] = { "metadata", "metadata.annotations", "spec",
                                         "spec.initContainers" };
    const enum weir_node_type types[] = { WEIR_NODE_MAP, WEIR_NODE_MAP, WEIR_NODE_MAP,
                                          WEIR_NODE_LIST };

    j->metadata = weir_node_get(j->pod, "metadata");
    j->annotations = weir_node_get(j->metadata, "annotations");
    j->spec = weir_node_get(j->pod, "spec");
    j->init = weir_node_get(j->spec, "initContainers");
    const struct weir_node *parts[] = { j->metadata, j->annotations, j->spec, j->init };

    if (!j->spec || j->spec->type == WEIR_NODE_NULL) {
        refuse(j, j->pod, "spec", "is missing");
        return false;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++)
        if (parts[i] && parts[i]->type != WEIR_NODE_NULL && parts[i]->type != types[i]) {
            refuse(j, parts[i], names[i],
                   types[i] == WEIR_NODE_MAP ? "must be an object" : "must be a list");
            return false;
        }
    return true;
}

int weir_inject_pod(struct weir_inject *in, const struct weir_node *pod, const char *at,
                    struct weir_inject_result *result) {
    struct job j = { .in = in, .pod = pod, .at = at, .result = result };
    const struct weir_node *shared = first_shared(pod);

    result->outcome = WEIR_INJECT_REFUSED;
    result->why = "";
    if (!take_apart(&j))
        return j.r;
    result->outcome = in->options->remove ? decide_removal(&j) : decide_addition(&j);
    if (j.r == 0 && result->outcome == WEIR_INJECT_CHANGED && shared)
        result->outcome =
            refuse(&j, shared, "",
                   "a Pod with YAML anchors or aliases cannot be changed; write the value out");
    return j.r;
}
