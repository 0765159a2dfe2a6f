{-# LANGUAGE LambdaCase #-}
module Parser (Parser, parse, char, many1) where

import Control.Applicative (Alternative (..))
import Data.Char (isDigit, isSpace)
import qualified Data.Map.Strict as Map

newtype Parser a = Parser { runParser :: String -> Maybe (a, String) }

instance Functor Parser where
  fmap f (Parser p) = Parser $ \s -> case p s of
    Nothing -> Nothing
    Just (a, rest) -> Just (f a, rest)

instance Applicative Parser where
  pure a = Parser $ \s -> Just (a, s)
  Parser pf <*> Parser pa = Parser $ \s -> do
    (f, rest) <- pf s
    (a, rest') <- pa rest
    pure (f a, rest')

char :: Char -> Parser Char
char c = Parser $ \case
  (x : xs) | x == c -> Just (c, xs)
  _ -> Nothing

number :: Parser Int
number = read <$> many1 isDigit

parse :: Parser a -> String -> Either String a
parse p input = maybe (Left "no parse") (Right . fst) (runParser p input)

main :: IO ()
main = print (Map.toList (Map.fromListWith (+) [(c, 1 :: Int) | c <- "hello"]))
