"""The screens, one module each: `registry` names them, `navigator` goes from one to another, `frame` is around them."""
