-- How many traces there are, how many hold a failed span, lie in the selected box, both.
SELECT count(), countIf(has_failed), countIf(is_selected), countIf(is_selected AND has_failed) FROM (MEMBERS)
