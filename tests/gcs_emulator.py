"""As much of Google Cloud Storage's JSON API as TensorStore uses, in memory: objects, generations, preconditions, lists."""

import itertools
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


@contextmanager
def serve():
    """Serves on a free port; yields (address, objects), objects being {name: (generation, content)}."""
    objects, numbers, lock = {}, itertools.count(1), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # one connection for all requests
        disable_nagle_algorithm = True  # an answer in two parts does not wait for an acknowledgement

        def answer(self, status, content=b"", **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def request_of(self):
            url = urlsplit(self.path)
            name = unquote(url.path.split("/o/", 1)[1]) if "/o/" in url.path else ""
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            return query.get("name", name), query

        def do_GET(self):
            name, query = self.request_of()
            with lock:
                if name:
                    if name not in objects:
                        return self.answer(404)
                    generation, content = objects[name]
                    return self.answer(200, content, x_goog_generation=generation)
                low, high = query.get("startOffset", ""), query.get("endOffset", "\U0010ffff")
                items = [{"name": n, "size": str(len(objects[n][1]))} for n in sorted(objects) if low <= n < high]
                self.answer(200, json.dumps({"items": items}).encode(), Content_Type="application/json")

        def allowed(self, name, query):
            match = query.get("ifGenerationMatch")
            return match is None or int(match) == objects.get(name, (0,))[0]

        def do_POST(self):
            name, query = self.request_of()
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                if not self.allowed(name, query):
                    return self.answer(412)
                objects[name] = (next(numbers), content)
                found = {"name": name, "generation": str(objects[name][0]), "size": str(len(content))}
                self.answer(200, json.dumps(found).encode(), Content_Type="application/json")

        def do_DELETE(self):
            name, query = self.request_of()
            with lock:
                if not self.allowed(name, query):
                    return self.answer(412)
                self.answer(204 if objects.pop(name, None) else 404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", objects
    finally:
        server.shutdown()
