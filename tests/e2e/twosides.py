# SPDX-License-Identifier: Apache-2.0
"""Two weir proxies with mesh mTLS between them and no kernel half: a gateway that calls a meshed pod, and that pod's sidecar on another
loopback address. What the client sends to `port` goes gateway -> mTLS -> sidecar -> application on 127.0.0.2."""

import ports
import proxies

DOCUMENTS = """\
apiVersion: v1
kind: Pod
metadata: {{name: app, namespace: default, annotations: {{weir.dev/mode: sidecar}}}}
spec: {{serviceAccountName: app, containers: [{{name: c, ports: [{{containerPort: {app}}}]}}]}}
status: {{podIP: 127.0.0.2}}
---
apiVersion: v1
kind: Service
metadata: {{name: app, namespace: default}}
spec: {{clusterIP: 10.255.0.1, ports: [{{name: web, port: 80, appProtocol: {protocol}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: app-1, namespace: default, labels: {{kubernetes.io/service-name: app}}}}
addressType: IPv4
ports: [{{name: web, port: {app}}}]
endpoints: [{{addresses: [127.0.0.3], targetRef: {{kind: Pod, name: app, namespace: default}}}}]
---
"""
GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec: {{gatewayClassName: weir, listeners: [{{name: in, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: app, namespace: default}}
spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: app, port: 80}}]}}]}}
---
apiVersion: weir.dev/v1alpha1
kind: Proxy
metadata: {{name: edge}}
spec: {{identityDir: {dir}/edge, admin: "127.0.0.1:0"}}
"""
SIDECAR = """\
apiVersion: weir.dev/v1alpha1
kind: Proxy
metadata: {{name: app}}
spec: {{pod: default/app, identityDir: {dir}/app, admin: "127.0.0.1:0", inbound: "127.0.0.3:{app}", outbound: "127.0.0.1:0"}}
"""


class TwoSides:
    def __init__(self, directory, start, app_port, protocol="http", sidecar=()):
        if not (directory / "ca").exists():
            done = proxies.weir("ca", "--dir", directory / "ca", "init")
            assert done.returncode == 0, done.stderr
        for name in ("edge", "app"):
            done = proxies.weir("ca", "--dir", directory / "ca", "--out", directory / name, "issue",
                                f"default/{name}")
            assert done.returncode == 0, done.stderr
        self.port = ports.free_port()
        say = {"app": app_port, "port": self.port, "dir": directory, "protocol": protocol}
        (directory / "edge.yaml").write_text((DOCUMENTS + GATEWAY).format(**say))
        (directory / "app.yaml").write_text((DOCUMENTS + SIDECAR).format(**say))
        self.sidecar = start("--config", directory / "app.yaml", *sidecar)
        self.edge = start("--config", directory / "edge.yaml")
