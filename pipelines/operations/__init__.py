"""Operations on studies, one file a verb."""
