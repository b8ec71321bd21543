"""What people look at: a finished study's text (`text`) and pictures (`plots`, `sheets`), made from its files alone."""
