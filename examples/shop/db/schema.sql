SET ROLE shop;

CREATE TABLE items (
	name text PRIMARY KEY,
	cents integer NOT NULL
);

INSERT INTO items VALUES ('coffee', 320), ('peas', 180), ('tea', 275);

CREATE TABLE orders (
	id uuid PRIMARY KEY,
	item text NOT NULL REFERENCES items,
	quantity integer NOT NULL CHECK (quantity BETWEEN 1 AND 1000),
	status text NOT NULL DEFAULT 'new',
	created timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX ON orders (created) WHERE status = 'new';

CREATE INDEX ON orders (created);

