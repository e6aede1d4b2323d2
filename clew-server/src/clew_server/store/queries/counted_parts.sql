-- The parts of `spans` whose keys are counted, and in how many rows (schema step 21); those too that were merged a moment ago, after their rows were counted.
SELECT parent_name, rows FROM system.projection_parts WHERE database=currentDatabase() AND table='spans' AND name='key_sets' AND NOT is_broken
