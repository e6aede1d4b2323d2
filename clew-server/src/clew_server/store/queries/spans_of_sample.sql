-- How many spans of a sample start in the window.
SELECT count() FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW
