"""Selection of the winner among a study's best trials."""
