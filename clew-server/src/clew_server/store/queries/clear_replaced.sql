-- Removes replaced parts whose time is over at once; by itself the engine gets to it within minutes. There is no such partition.
ALTER TABLE TABLE_NAME DROP PARTITION ID '22000101'
