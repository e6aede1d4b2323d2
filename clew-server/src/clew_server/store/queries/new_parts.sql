-- Parts as inserts made them, neither merged, nor rewritten by a deletion, nor without rows as a drop puts them in their place, with the sum of the sizes their files should have.
SELECT table, name, bytes_on_disk, path FROM system.parts
WHERE active AND rows>0 AND database=currentDatabase() AND has({tables:Array(String)},table) AND min_block_number=max_block_number AND data_version=min_block_number
