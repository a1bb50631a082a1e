"""The shop's web front end.

It takes orders over HTTP, stores them in PostgreSQL and queues their ids in
redis for the worker. The database is the truth: an order that is stored but
does not get into the queue is found there by the worker, a little later.
"""

import html
import json
import os
import queue
import signal
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis

LISTEN = ("", int(os.environ.get("LISTEN_PORT", "8080")))
NAME = os.uname().nodename  # of the pod
INVOICES = os.environ.get("INVOICES", "/invoices")
# Connections may still arrive for so long after SIGTERM: whoever leads them
# here has to learn first that this replica is not ready any more.
LINGER = float(os.environ.get("LINGER_SECONDS", "2"))
# Then clients have so long to send another request on an open connection, the
# answer to which tells them to leave.
DRAIN = 5


def read(path):
    with open(path) as f:
        return f.read().strip()


class Database:
    """A few connections that are made when needed and again when broken."""

    def __init__(self, size=8):
        self.idle = queue.LifoQueue()
        for _ in range(size):
            self.idle.put(None)

    def query(self, sql, args=()):
        """Runs one statement, a second time where a connection was broken: each
        statement here may be repeated."""
        for attempt in (1, 2, 3):
            connection = self.idle.get()
            try:
                if connection is None:
                    connection = psycopg2.connect(
                        os.environ["DATABASE"], password=read(os.environ["DATABASE_PASSWORD_FILE"]), connect_timeout=3)
                with connection, connection.cursor() as cursor:
                    cursor.execute(sql, args)
                    return cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                connection = connection and connection.close()
                if attempt == 3:
                    raise
                time.sleep(0.1)
            finally:
                self.idle.put(connection)


class Shop:
    def __init__(self):
        self.database = Database()
        self.queue = redis.Redis(
            host=os.environ["REDIS_HOST"], password=read(os.environ["REDIS_PASSWORD_FILE"]),
            socket_timeout=3, socket_connect_timeout=3)

    def check(self):
        self.database.query("SELECT 1 FROM orders LIMIT 0")
        self.queue.ping()

    def order(self, item, quantity):
        number = str(uuid.uuid4())
        self.database.query(
            "INSERT INTO orders (id, item, quantity) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", (number, item, quantity))
        try:
            self.queue.lpush("orders", number)
        except redis.RedisError as e:
            log("order %s is stored, but not queued: %s" % (number, first_line(e)))
        return number

    def find(self, number):
        rows = self.database.query("SELECT item, quantity, status FROM orders WHERE id = %s", (number,))
        return rows and dict(zip(("item", "quantity", "status"), rows[0]), id=number)

    def page(self):
        items = self.database.query("SELECT name, cents FROM items ORDER BY name")
        orders = self.database.query("SELECT id, quantity, item, status FROM orders ORDER BY created DESC LIMIT 20")
        options = "".join("<option value='%s'>%s, %d.%02d</option>" % (html.escape(name), html.escape(name), *divmod(cents, 100))
                          for name, cents in items)
        lines = "".join("<tr><td>%d × %s<td>%s" % (
            quantity, html.escape(item), "<a href='/invoices/%s'>invoice</a>" % number if status == "done" else "in the queue")
            for number, quantity, item, status in orders)
        return PAGE % (options, lines, html.escape(NAME))


PAGE = """<!doctype html><meta charset=utf-8><title>Shop</title>
<style>body{font:16px sans-serif;max-width:32em;margin:3em auto}td{padding:.2em 1em .2em 0}</style>
<h1>Shop</h1>
<form method=post action=/orders><select name=item>%s</select>
<input name=quantity type=number min=1 max=1000 value=1> <button>Order</button></form>
<h2>Last orders</h2><table>%s</table><p>Served by %s."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    timeout = 60

    def do_GET(self):
        self.attempt(self.get)

    def do_POST(self):
        self.attempt(self.post)

    def attempt(self, answer):
        try:
            answer()
        except (psycopg2.OperationalError, psycopg2.InterfaceError, redis.RedisError) as e:
            log("%s %s: %s" % (self.command, self.path, first_line(e)))
            self.reply(503, {"error": "the database or the queue cannot be reached"})

    def get(self):
        kind, _, number = self.path.strip("/").partition("/")
        if self.path == "/":
            self.reply(200, self.server.shop.page(), "text/html; charset=utf-8")
        elif self.path == "/ready":
            self.ready()
        elif kind in ("orders", "invoices") and is_uuid(number):
            order = self.server.shop.find(number)
            if not order:
                self.reply(404, {"error": "there is no such order"})
            elif kind == "orders":
                self.reply(200, order)
            elif order["status"] != "done":
                self.reply(404, {"error": "the invoice has not been made yet"})
            else:
                self.reply(200, read(os.path.join(INVOICES, number + ".txt")) + "\n", "text/plain; charset=utf-8")
        else:
            self.reply(404, {"error": "there are /, /orders/ID and /invoices/ID"})

    def ready(self):
        if self.server.draining:
            self.reply(503, {"error": "this replica is being stopped"})
            return
        self.server.shop.check()
        self.reply(200, {"ready": True})

    def post(self):
        length = self.headers.get("Content-Length", "")
        if self.path != "/orders" or not length.isdecimal() or int(length) > 4096:
            self.close_connection = True  # the body stays unread
            self.reply(400, {"error": "POST /orders takes up to 4096 bytes"})
            return
        body = self.rfile.read(int(length)).decode("utf-8", "replace")
        form = self.headers.get_content_type() == "application/x-www-form-urlencoded"
        try:
            order = dict(urllib.parse.parse_qsl(body)) if form else json.loads(body)
            item, quantity = str(order["item"]), int(order["quantity"])
            number = self.server.shop.order(item, quantity)
        except (ValueError, KeyError, TypeError):
            self.reply(400, {"error": 'write {"item": "tea", "quantity": 2}'})
        except (psycopg2.IntegrityError, psycopg2.DataError):
            self.reply(422, {"error": "there is no such item, or not so many"})
        else:
            self.reply(303 if form else 201, {"id": number, "status": "new"}, location="/" if form else "/orders/" + number)

    def reply(self, status, body, kind="application/json", location=None):
        data = (body if isinstance(body, str) else json.dumps(body) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Served-By", NAME)
        if location:
            self.send_header("Location", location)
        if self.server.draining or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code="-", size="-"):
        pass  # errors are logged, requests are not


class Server(ThreadingHTTPServer):
    """Knows how many connections are open, so that it can wait for their end."""

    request_queue_size = 128
    draining = False

    def __init__(self, shop):
        super().__init__(LISTEN, Handler)
        self.shop, self.open, self.changed = shop, 0, threading.Condition()

    def count(self, by):
        with self.changed:
            self.open += by
            self.changed.notify_all()

    def process_request(self, request, address):
        self.count(1)
        super().process_request(request, address)

    def process_request_thread(self, request, address):
        try:
            super().process_request_thread(request, address)
        finally:
            self.count(-1)

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients may leave
            super().handle_error(request, address)

    def drain(self):
        """Serves on for a while, not ready any more, then until the last connection has ended."""
        self.draining = True
        time.sleep(LINGER)
        with self.changed:
            self.changed.wait_for(lambda: self.open == 0, DRAIN)
        self.shutdown()


def is_uuid(text):
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def first_line(error):
    return str(error).strip().partition("\n")[0]


def log(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # for the threads too
    server = Server(Shop())
    threading.Thread(target=server.serve_forever).start()
    log("listening on port %d" % LISTEN[1])
    signal.sigwait(stops)
    log("stopping")
    server.drain()
