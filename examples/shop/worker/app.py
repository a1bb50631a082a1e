"""The shop's worker: makes the invoices of the orders in the queue.

An order is done once: whoever has its row locked makes the invoice, marks it
done and commits. A worker may die at any point, and the queue may lose what is
in it: orders that stay new for a while are looked for in the database.
"""

import os
import signal
import sys
import threading
import time

import psycopg2
import redis

INVOICES = os.environ.get("INVOICES", "/invoices")
READY = os.environ.get("READY_FILE", "/run/worker/ready")  # there while it can work
SWEEP = 5  # seconds between looks at what the queue may have lost

stopping = threading.Event()


def read(path):
    with open(path) as f:
        return f.read().strip()


def connect():
    database = psycopg2.connect(
        os.environ["DATABASE"], password=read(os.environ["DATABASE_PASSWORD_FILE"]), connect_timeout=3)
    queue = redis.Redis(
        host=os.environ["REDIS_HOST"], password=read(os.environ["REDIS_PASSWORD_FILE"]), socket_timeout=5)
    queue.ping()
    return database, queue


def work(database, queue):
    """Takes orders until the worker is to stop or a connection breaks."""
    swept = 0
    while not stopping.is_set():
        taken = queue.brpop("orders", timeout=1)  # the other end than lpush's
        if taken:
            make(database, taken[1].decode())
        if time.monotonic() - swept > SWEEP:
            swept = time.monotonic()
            for number in forgotten(database):
                make(database, number)


def forgotten(database):
    with database, database.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM orders WHERE status = 'new' AND created < now() - %s * interval '1 second' ORDER BY created LIMIT 100",
            (SWEEP,))
        return [number for number, in cursor]


def make(database, number):
    with database, database.cursor() as cursor:
        cursor.execute(
            "SELECT quantity, item, cents FROM orders JOIN items ON item = name"
            " WHERE id = %s AND status = 'new' FOR UPDATE OF orders SKIP LOCKED", (number,))
        row = cursor.fetchone()
        if row is None:
            return  # done, or another worker's
        write(number, invoice(number, *row))
        cursor.execute("UPDATE orders SET status = 'done' WHERE id = %s", (number,))


def invoice(number, quantity, item, cents):
    money = lambda n: "%d.%02d" % divmod(n, 100)
    return "Invoice %s\n\n%d × %s at %s\nTotal %s\n" % (number, quantity, item, money(cents), money(quantity * cents))


def write(number, text):
    """Writes an invoice that is whole or not there, whenever the power fails."""
    path = os.path.join(INVOICES, number + ".txt")
    with open(path + ".part", "w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.rename(path + ".part", path)


def ready(yes):
    if yes:
        open(READY, "w").close()
    elif os.path.exists(READY):
        os.remove(READY)


def main():
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stopping.set())
    ready(False)
    while not stopping.is_set():
        try:
            database, queue = connect()
            ready(True)
            print("working", file=sys.stderr, flush=True)
            with queue:
                work(database, queue)
            database.close()
        except (psycopg2.Error, redis.RedisError) as e:
            ready(False)
            print("again in a second: %s" % str(e).strip().partition("\n")[0], file=sys.stderr, flush=True)
            stopping.wait(1)


if __name__ == "__main__":
    main()
