"""What a node keeps: one database, one writer, readers beside it. SQL stands here and nowhere else."""
