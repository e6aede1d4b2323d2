-- Rows of `spans` that are no spans of their own.
SELECT count() FROM spans WHERE IS_FRAGMENT
