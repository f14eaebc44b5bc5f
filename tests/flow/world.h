/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of a small mesh, for flow_start: pods web, v1, v2; services; routes. */
#ifndef WEIR_TEST_WORLD_H
#define WEIR_TEST_WORLD_H

#define POD(name, ip, mode)                                                                        \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name                                            \
    ", namespace: default, labels: {app: " name "}, annotations: "                                 \
    "{weir.dev/mode: \"" mode "\"}}\nspec: {serviceAccountName: " name                             \
    ", containers: [{name: c, ports: "                                                             \
    "[{containerPort: 8080}]}]}\nstatus: {podIP: " ip "}\n---\n"
#define SERVICE_OF(name, ip, port_name)                                                            \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name                                        \
    ", namespace: default}\nspec: {clusterIP: " ip ", ports: [{name: " port_name                   \
    ", port: 80}]}\n---\n"
#define SERVICE(name, ip) SERVICE_OF(name, ip, "http")
#define SLICE_OF(service, ip, port_name)                                                           \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " service              \
    "-1, namespace: default, "                                                                     \
    "labels: {kubernetes.io/service-name: " service                                                \
    "}}\naddressType: IPv4\nports: [{name: " port_name ", port: 8080}]\n"                          \
    "endpoints: [{addresses: [" ip "]}]\n---\n"
#define SLICE(service, ip) SLICE_OF(service, ip, "http")
#define PROXY(pod)                                                                                 \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: {pod: default/" pod    \
    ", limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, connectTimeout: 2s, "           \
    "pipeBytes: 16384}}\n---\n"
#define STRICT                                                                                     \
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"                                 \
    "metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n---\n"
#define ONLY_V2                                                                                    \
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                      \
    "metadata: {name: only-v2, namespace: default}\n"                                              \
    "spec: {podSelector: {matchLabels: {app: v1}}, ingress: [{from: [{podSelector: "               \
    "{matchLabels: {app: v2}}}]}]}\n---\n"
#define PODS                                                                                       \
    POD("web", "10.1.0.1", "sidecar")                                                              \
    POD("v1", "10.1.0.2", "sidecar") POD("v2", "10.1.0.3", "sidecar")
#define ROUTE_TO(service)                                                                          \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: "   \
    "default}\nspec:\n  parentRefs: [{kind: Service, group: \"\", name: api, port: 80}]\n"         \
    "  rules:\n  - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {add: "        \
    "[{name: x-route, value: " service "}]}}]\n    backendRefs: [{name: " service ", port: 80}]\n" \
    "---\n"

#endif
