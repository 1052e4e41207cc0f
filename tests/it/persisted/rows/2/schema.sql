-- What the releases of version 2 added to a database of version 1.

-- @common
ALTER TABLE steps ADD COLUMN detail TEXT;
