-- How many traces there are, how many hold a failed span, lie in the selected box, both; and after which time none of their spans starts.
SELECT count(), countIf(has_failed), countIf(is_selected), countIf(is_selected AND has_failed), max(start_ns+length_ns) FROM (MEMBERS)
