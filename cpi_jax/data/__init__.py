"""From files to `Examples`: one module a source, the columns of a table as slots, labels and ids, and images."""
