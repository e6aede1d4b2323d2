-- Spans with a list among their attributes: few, and looked at one by one, since the text of a list is not that of its elements.
ALTER TABLE spans ADD INDEX IF NOT EXISTS i_list has(attr_types,42) TYPE minmax GRANULARITY 4;
